"""The One-Euro filter (Casiez, Roussel, Vogel: 1€ Filter, CHI 2012) over several values at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streaming.records import Float32Array

LONGEST_S = 0.25  # after a longer silence the next value is taken as it is


@dataclass(frozen=True)
class OneEuroTuning:
    """A low-pass whose cut-off rises with the value's speed; speeds per second, cut-offs in Hz."""

    still_hz: Float32Array  # (N,) cut-off at rest
    per_speed: Float32Array  # (N,) Hz per unit of speed
    speed_hz: float  # cut-off of the speed itself


class OneEuro:
    """Filters (N,) values that come with their times."""

    def __init__(self, tuning: OneEuroTuning) -> None:
        """Start empty: the first values pass as they are."""
        self._tuning = tuning
        self._time_ns = 0
        self._raw: Float32Array | None = None
        self._steady = np.zeros(0, np.float32)
        self._speed = np.zeros(0, np.float32)

    def reset(self) -> None:
        """Forget: the next values pass as they are."""
        self._raw = None

    def filtered(self, values: Float32Array, time_ns: int) -> Float32Array:
        """The values (N,) with less trembling; times must rise."""
        seconds = (time_ns - self._time_ns) / 1e9
        raw, self._raw, self._time_ns = self._raw, values, time_ns
        if raw is None or not 0 < seconds <= LONGEST_S:
            self._steady, self._speed = values, np.zeros_like(values)
            return values
        tuning = self._tuning
        change = (values - raw) / np.float32(seconds)
        self._speed = self._speed + _share(tuning.speed_hz, seconds) * (change - self._speed)
        cut_off = tuning.still_hz + tuning.per_speed * np.abs(self._speed)
        turn = 2 * math.pi * cut_off * np.float32(seconds)
        self._steady = (self._steady + turn / (turn + 1) * (values - self._steady)).astype(
            np.float32
        )
        return self._steady


def _share(cut_off_hz: float, seconds: float) -> np.float32:
    """How much of a change one step takes over."""
    turn = 2 * math.pi * cut_off_hz * seconds
    return np.float32(turn / (turn + 1))
