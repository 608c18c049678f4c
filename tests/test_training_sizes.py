"""`unvisor architectures`: what networks hold and cost, counted and timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from edge.__main__ import main
from training.recipes.schema import NetworkChoice
from training.sizes.measure import measure

TINY = ["--set", "network.settings.width=8", "--set", "network.settings.size_px=32"]


def test_parameters_and_multiplications_are_those_of_the_layers() -> None:
    size = measure(NetworkChoice("stn-gan", {"seen": 8}), timed=False)
    assert size.parameters == 8_430_528
    assert size.giga_macs == pytest.approx(9.96, abs=0.01)
    assert (size.is_online, size.state_values, size.cpu_ms) == (True, 0, None)


@pytest.mark.parametrize(("network", "engine"), [("m-csam", "onnxruntime"), ("comb-cn", "torch")])
def test_online_networks_are_timed_in_the_engine_and_the_others_in_torch(
    network: str, engine: str
) -> None:
    size = measure(NetworkChoice(network, {"width": 8, "size_px": 32}))
    assert size.engine == engine
    assert size.cpu_ms is not None
    assert size.cpu_ms > 0


def test_recipes_of_one_network_share_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [word for name in ("stn", "lgtsm-offline", "stn-lm") for word in ("--recipe", name)]
    files = ["--json", str(tmp_path / "sizes.json"), "--markdown", str(tmp_path / "sizes.md")]
    with pytest.raises(SystemExit) as ended:
        main(["architectures", *chosen, *TINY, *files, "--no-timed"])
    assert not ended.value.code
    rows = json.loads((tmp_path / "sizes.json").read_text())["networks"]
    assert [row["recipes"] for row in rows] == [["stn", "stn-lm"], ["lgtsm-offline"]]
    assert [row["is_online"] for row in rows] == [True, False]
    assert "| lgtsm, w 8, 32 px | whole clips |" in (tmp_path / "sizes.md").read_text()
    assert "lgtsm" in capsys.readouterr().out


def test_a_network_that_cannot_be_built_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["architectures", "--recipe", "m-csam", "--set", "network.settings.size_px=20"])
    assert ended.value.code == 1
    assert "multiple of 16" in capsys.readouterr().err
