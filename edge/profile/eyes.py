"""One eye's calibration and its JSON form, which has a version of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 2
LID_POINTS = 18  # upper, then lower lid, 9 each
# Sine of the eye's turn per eye width that the iris has moved: the visible eye is about 30 mm
# wide on an eyeball of 12 mm radius.
SINE_PER_EYE_WIDTH = 30.0 / 12.0

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class EyeCalibration:
    """How one eye of the wearer looks to its eye camera; lengths are shares of the eye's width."""

    closed: float = 0.08  # lid gap / corner distance
    open: float = 0.28
    rest: tuple[float, float] = (0.0, 0.0)  # iris centre from the corners' middle, (x, y)
    # (2,2) by rows: sines of yaw and pitch from the iris's way (x, y) from its rest.
    sines_from_way: Numbers = (SINE_PER_EYE_WIDTH, 0.0, 0.0, -SINE_PER_EYE_WIDTH)
    centre: tuple[float, float] = (0.0, 0.0)  # rad (yaw, pitch) that now count as straight ahead
    # Heights of both lids over the line of the corners (edge.eyes.lid_shape); empty = not known.
    open_lids: Numbers = ()
    closed_lids: Numbers = ()
    blink: tuple[float, float] = (0.0, 1.0)  # the camera's blink score, open and closed
    is_swapped: bool = False  # this eye's camera says it is the other eye's

    @property
    def is_guided(self) -> bool:
        """Whether the wearer was led through the routine: only that tells where an eye looks."""
        return self.sines_from_way != EyeCalibration.sines_from_way

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return {
            "version": VERSION,
            "closed": self.closed,
            "open": self.open,
            "rest": list(self.rest),
            "sines_from_way": list(self.sines_from_way),
            "centre": list(self.centre),
            "open_lids": list(self.open_lids),
            "closed_lids": list(self.closed_lids),
            "blink": list(self.blink),
            "is_swapped": self.is_swapped,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EyeCalibration:
        """Read what `to_json` wrote now or earlier: version 1, or none (profiles of schema 1).

        Raises:
            KeyError, TypeError, ValueError: the document does not fit.
        """
        version = document.get("version", 1)
        if version not in (1, VERSION):
            raise ValueError(f"eye calibration of version {version}, not {VERSION}")
        closed, opened = _numbers([document["closed"], document["open"]], (2,))
        known = cls(closed, opened, _pair(document["rest"]))
        if version == 1:
            return known
        return cls(
            known.closed,
            known.open,
            known.rest,
            _numbers(document["sines_from_way"], (4,)),
            _pair(document["centre"]),
            _numbers(document["open_lids"], (0, LID_POINTS)),
            _numbers(document["closed_lids"], (0, LID_POINTS)),
            _pair(document["blink"]),
            bool(document["is_swapped"]),
        )


def _numbers(values: Any, counts: tuple[int, ...]) -> Numbers:
    numbers = tuple(float(value) for value in values)
    if len(numbers) not in counts or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{len(numbers)} numbers in an eye calibration, or one is not finite")
    return numbers


def _pair(values: Any) -> tuple[float, float]:
    x, y = _numbers(values, (2,))
    return x, y
