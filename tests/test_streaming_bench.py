from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.__main__ import main
from streaming.backlog import LATE_NS, USUAL_OF, Backlog
from streaming.bench import measure
from streaming.bench.measure import Load, ages_ms, measure_crowd, measure_stall
from streaming.errors import UserError


@pytest.fixture(autouse=True)
def settle_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SETTLE_S", 0.1)


def test_command_measures_a_client_process_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as ended:
        main(["bench-stream", "--seconds", "1", "--case", "face-256", "--json", str(found)])
    assert not ended.value.code
    result = json.loads(found.read_text())
    case = result["cases"]["face-256"]
    figures = case["figures"]
    assert 1 < figures["pictures"] <= 61
    assert 0 < figures["arrival_p50_ms"] <= figures["arrival_p99_ms"]
    assert figures["arrival_p50_ms"] <= figures["shown_p50_ms"]
    assert case["missed"] == [name for name, aim in case["aims"].items() if figures[name] > aim]
    assert len(result["load_average"]) == 3
    assert "256² crop" in capsys.readouterr().out


def test_crowd_is_measured_with_one_client_standing_still_and_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "CROWD_TURNS", 2)
    figures = measure_crowd(Load("frame.face", 32, 32, 20.0), 1.0, clients=2)
    assert 1 < figures["pictures"] <= 21  # of the one that is not stopped, half of the time
    assert figures["slowdown"] == pytest.approx(
        figures["arrival_p99_ms"] / figures["arrival_p99_without_ms"], abs=0.01
    )


def test_client_that_stood_still_is_measured_from_when_it_woke() -> None:
    figures = measure_stall(Load("frame.face", 32, 32, 20.0), stall_s=0.3, after_s=0.5)
    assert figures["first_age_ms"] <= figures["oldest_age_ms"]
    assert figures["fresh_after_ms"] > 0


def test_unknown_case_and_missing_folder_are_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench-stream", "--case", "fast"])
    assert ended.value.code == 1
    assert "There is no case 'fast'. Known: face-256" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["bench-stream", "--json", str(tmp_path / "nowhere" / "bench.json")])
    assert ended.value.code == 1
    assert "There is no folder" in capsys.readouterr().err


def test_ages_are_counted_between_two_moments_only() -> None:
    times = np.array([[10, 20, 30], [1000, 3000, 4000], [9000, 9001, 9002]], np.int64)
    assert ages_ms([times], 100, 9000, 1).tolist() == [0.002]
    assert ages_ms([times, times], 100, 9000, 2).tolist() == [0.003, 0.003]
    with pytest.raises(UserError, match="No picture"):
        ages_ms([times], 20, 30, 1)


def test_message_is_late_against_what_is_usual_whatever_the_clocks_say() -> None:
    backlog = Backlog()
    assert not backlog.is_late(10**15)
    for age_ns in (-5_000_000_000, -4_990_000_000):
        backlog.add(age_ns)
    assert not backlog.is_late(-5_000_000_000 + LATE_NS)
    assert backlog.is_late(-5_000_000_000 + LATE_NS + 1)
    backlog.add(0)  # handed over all the same: nothing newer came
    assert not backlog.is_late(LATE_NS)
    for _ in range(USUAL_OF):
        backlog.add(LATE_NS)
    assert not backlog.is_late(2 * LATE_NS)
