"""`unvisor bench-engines`: what is compared, and what its ratios mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from edge.__main__ import main
from edge.engine_bench.command import measure, table_of, with_ratios
from edge.engine_bench.runtimes import RUNTIMES, onnxruntime_step, openvino_step
from edge.engine_bench.subjects import Subject
from models.eyes.reader import SHIPPED_EYE_NET
from models.shipped import SHIPPED_INT8


def row(precision: str, runtime: str, least_ms: float) -> dict[str, object]:
    return {
        "network": "net",
        "precision": precision,
        "runtime": runtime,
        "threads": 1,
        "median_ms": 2 * least_ms,
        "least_ms": least_ms,
    }


def test_ratios_are_against_float_and_against_the_other_runtime() -> None:
    rows = with_ratios(
        [
            row("fp32", "onnxruntime", 12.0),
            row("int8", "onnxruntime", 4.0),
            row("int8", "openvino", 3.0),
        ]
    )
    assert [r["times_float"] for r in rows] == [1.0, 3.0, 4.0]
    assert [r["times_onnxruntime"] for r in rows] == [1.0, 1.0, 1.333]
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table_of(rows))
    assert "net int8 openvino" in captured.get()


def test_steps_are_timed_in_turns() -> None:
    chosen = [Subject("eye_net", "fp32", "onnxruntime", SHIPPED_EYE_NET)]
    (found,) = measure(chosen, threads=1, rounds=3)
    assert 0 < found["least_ms"] <= found["median_ms"]


def test_networks_with_byte_states_are_timed_too() -> None:
    step = onnxruntime_step(SHIPPED_INT8, 1)
    step()
    step()


def test_openvino_reads_a_shipped_network() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is an extra")
    openvino_step(SHIPPED_EYE_NET, 1)()


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench-engines", "--json", str(tmp_path / "none" / "figures.json")])
    assert ended.value.code == 1
    assert "There is no folder" in capsys.readouterr().err


def test_both_runtimes_are_known() -> None:
    assert set(RUNTIMES) == {"onnxruntime", "openvino"}
