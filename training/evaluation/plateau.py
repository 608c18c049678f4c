"""Whether a run had stopped getting better: what its last fifth still gained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.run.folder import CURVE

FIFTH = 0.2


@dataclass(frozen=True)
class CurveEnd:
    """How a run's curve ends, as far as it has come."""

    steps: int  # of the last validation
    last_fifth_db: float | None  # gain of val PSNR over the last fifth of the steps; None: unknown


def curve_end(run: Path) -> CurveEnd | None:
    """The end of the curve in a run folder; None where there is none, or no validation."""
    try:
        lines = (run / CURVE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return end_of(_rows(lines))


def end_of(rows: Iterable[Mapping[str, Any]]) -> CurveEnd | None:
    """The end of a curve whose rows with a `validation` tell its `psnr_db`.

    Between validations the PSNR is taken to change evenly. The gain is unknown when only the start
    and the end were validated: an even change would tell of the start.
    """
    found = {int(r["step"]): float(r["validation"]["psnr_db"]) for r in rows if "validation" in r}
    if not found:
        return None
    steps = sorted(found)
    end = steps[-1]
    if not any(0 < step < end for step in steps):
        return CurveEnd(end, None)
    before = np.interp((1 - FIFTH) * end, steps, [found[step] for step in steps])
    return CurveEnd(end, found[end] - float(before))


def _rows(lines: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:  # cut short by a kill
            continue
    return rows
