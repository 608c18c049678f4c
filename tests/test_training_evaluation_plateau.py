"""What a run still gained at its end, and how the page tells it beside the network's size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.evaluation.plateau import curve_end, end_of


def told(step: int, psnr_db: float) -> dict[str, Any]:
    return {"step": step, "validation": {"psnr_db": psnr_db, "lpips": 0.1}}


def test_the_last_fifth_is_counted_back_from_the_end_of_the_run() -> None:
    rows = [told(0, 10.0), {"step": 50, "l1": 0.3}, told(50, 20.0), told(80, 24.0), told(100, 25.5)]
    end = end_of(rows)
    assert end is not None
    assert (end.steps, end.last_fifth_db) == (100, pytest.approx(1.5))


def test_between_validations_the_gain_is_even() -> None:
    end = end_of([told(0, 10.0), told(60, 20.0), told(100, 24.0)])
    assert end is not None
    assert end.last_fifth_db == pytest.approx(2.0)  # at step 80: 22 dB


def test_a_loss_at_the_end_is_told_as_one() -> None:
    end = end_of([told(0, 10.0), told(80, 24.0), told(100, 23.0)])
    assert end is not None
    assert end.last_fifth_db == pytest.approx(-1.0)


@pytest.mark.parametrize("rows", [[], [{"step": 3, "l1": 0.2}]])
def test_a_curve_without_validations_has_no_end(rows: list[dict[str, Any]]) -> None:
    assert end_of(rows) is None


@pytest.mark.parametrize("rows", [[told(0, 10.0)], [told(0, 10.0), told(100, 20.0)]])
def test_the_start_alone_tells_nothing_of_the_last_fifth(rows: list[dict[str, Any]]) -> None:
    end = end_of(rows)
    assert end is not None
    assert end.last_fifth_db is None


def test_a_curve_that_a_kill_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    assert curve_end(tmp_path) is None
    lines = [json.dumps(told(step, step / 10)) for step in (0, 80, 100)]
    (tmp_path / "curve.jsonl").write_text("\n".join([*lines, '{"step": 12']))
    end = curve_end(tmp_path)
    assert end is not None
    assert (end.steps, end.last_fifth_db) == (100, pytest.approx(2.0))
