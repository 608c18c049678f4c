"""Eyes that go unseen change over gently: to what the other eye does, or to open and neutral."""

from __future__ import annotations

from enum import Enum

import numpy as np

from edge.eyes.reading import NEUTRAL, mirrored
from streaming.records import Float32Array

TO_NEUTRAL_NS = 300_000_000
TO_SEEN_NS = 100_000_000
GAP_NS = 1_000_000_000  # after a longer pause nothing has to be eased

Values = Float32Array | None
Pair = tuple[Float32Array, Float32Array]


class _Origin(Enum):
    OWN = "own"
    OTHER = "other"
    NEUTRAL = "neutral"


class Easing:
    """What to show of both eyes, seen or not."""

    def __init__(self) -> None:
        """Start without a past: the first values are shown as they are."""
        self._eyes = (_EasedEye(), _EasedEye())

    def shown(self, seen: tuple[Values, Values], time_ns: int) -> Pair:
        """(right, left) values (7,) to show; `seen` has None for an eye that is not seen."""
        right, left = (
            eye.shown(own, other, time_ns)
            for eye, own, other in zip(self._eyes, seen, reversed(seen), strict=True)
        )
        return right, left


class _EasedEye:
    def __init__(self) -> None:
        self._origin: _Origin | None = None
        self._from = self._last = NEUTRAL
        self._since_ns = self._last_ns = 0

    def shown(self, own: Values, other: Values, time_ns: int) -> Float32Array:
        origin, target = _target(own, other)
        if self._origin is None or not 0 <= time_ns - self._last_ns <= GAP_NS:
            self._from, self._since_ns = target, time_ns
        elif origin != self._origin:
            self._from, self._since_ns = self._last, time_ns
        self._origin = origin
        length_ns = TO_NEUTRAL_NS if origin is _Origin.NEUTRAL else TO_SEEN_NS
        share = min(1.0, (time_ns - self._since_ns) / length_ns)
        eased = np.float32(share * share * (3 - 2 * share))
        self._last = np.asarray(self._from + (target - self._from) * eased, np.float32)
        self._last_ns = time_ns
        return self._last


def _target(own: Values, other: Values) -> tuple[_Origin, Float32Array]:
    if own is not None:
        return _Origin.OWN, own
    if other is not None:
        return _Origin.OTHER, mirrored(other)
    return _Origin.NEUTRAL, NEUTRAL
