"""Learning an eye's calibration from what its camera saw, with or without a guided routine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.eyes.axes import EyeAxes, corners
from edge.eyes.lid_shape import STATIONS, lid_heights
from edge.eyes.measures import aperture, observed_offset
from edge.profile.eyes import EyeCalibration, Numbers
from streaming.records import EyeObservation, Float32Array

CLOSED_QUANTILE, OPEN_QUANTILE = 0.02, 0.90  # as EyeTrackVR calibrates lids
# Somebody who did not blink meanwhile leaves no closed eye: a closed lid then counts as this share
# of the open one, about what blinks show in the training clips.
CLOSED_SHARE = 0.2
BLINK_SHARE = 0.6  # the smallest aperture is a blink when below this share of the open one
NEARLY = 0.2  # of the range: as near to its ends an eye counts as open or closed
OPEN_ENOUGH = 0.4  # of the open aperture, for an iris that can be seen
# How far people look when asked to look as far as is comfortable, without turning the head.
SIDEWAYS_RAD, UPDOWN_RAD = np.radians(30.0), np.radians(20.0)
MIN_WAY = 0.05  # eye widths that an iris moves at least, from one side to the other
MIN_SIDE = 0.02  # and to each side from its rest
LEFT, RIGHT, UP, DOWN = "left", "right", "up", "down"
# yaw is positive to the image's right, which is the wearer's left.
TARGETS = {
    LEFT: (SIDEWAYS_RAD, 0.0),
    RIGHT: (-SIDEWAYS_RAD, 0.0),
    UP: (0.0, UPDOWN_RAD),
    DOWN: (0.0, -UPDOWN_RAD),
}
OPPOSITES = ((LEFT, RIGHT), (UP, DOWN))
AHEAD = "ahead"


@dataclass
class Evidence:
    """What one eye camera saw, and what the wearer was asked to do meanwhile."""

    observations: list[EyeObservation] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)  # one of TARGETS, AHEAD, or any other word

    def add(self, observation: EyeObservation, step: str = "") -> None:
        """Keep one observation."""
        self.observations.append(observation)
        self.steps.append(step)

    def __len__(self) -> int:
        """How many observations there are."""
        return len(self.observations)


@dataclass(frozen=True)
class Learned:
    """A calibration, and what it rests on."""

    calibration: EyeCalibration
    has_closed: bool  # closed lids were seen
    ways: dict[str, tuple[float, float]]  # how far the iris went from its rest, eye widths, by step
    lean: float  # by how much the lids lean, eye widths per eye width: see `lean_of`


def learned(evidence: Evidence) -> Learned:
    """Calibrate one eye; ValueError when nothing was observed."""
    if not len(evidence):
        raise ValueError("nothing was observed")
    seen = evidence.observations
    axes = _median_axes(seen)
    gaps = np.array([aperture(each.lids, axes) for each in seen])
    closed, opened = (float(np.quantile(gaps, q)) for q in (CLOSED_QUANTILE, OPEN_QUANTILE))
    has_closed = closed <= BLINK_SHARE * opened
    if not has_closed:
        closed = CLOSED_SHARE * opened
    is_open = gaps >= opened - NEARLY * (opened - closed)
    is_closed = gaps <= closed + NEARLY * (opened - closed)
    heights = np.stack([lid_heights(each.lids, axes) for each in seen])
    open_lids = np.median(heights[is_open], axis=0)
    places = _Places(evidence, axes, gaps >= OPEN_ENOUGH * opened)
    rest = places.of(AHEAD) if places.has(AHEAD) else places.all()
    ways = {step: places.of(step) - rest for step in TARGETS if places.has(step)}
    calibration = EyeCalibration(
        closed=closed,
        open=opened,
        rest=(float(rest[0]), float(rest[1])),
        sines_from_way=_sines_from_way(ways),
        open_lids=_flat(open_lids),
        closed_lids=_flat(np.median(heights[is_closed], axis=0)) if has_closed else (),
        blink=_blink_range(seen, is_open, is_closed if has_closed else None),
    )
    told = {step: (float(way[0]), float(way[1])) for step, way in ways.items()}
    return Learned(calibration, has_closed, told, lean_of(open_lids))


def lean_of(heights: Float32Array) -> float:
    """How lids (2,9) lean: their highest point is nearer to the nose, their lowest to the temple.

    Negative for a right eye, positive for a left one, in an image that is not mirrored.
    """
    inner = slice(1, -1)
    return float(heights.sum(axis=0)[inner] @ STATIONS[inner] / (STATIONS[inner] ** 2).sum())


class _Places:
    """Where the iris was, step by step."""

    def __init__(self, evidence: Evidence, axes: EyeAxes, is_seen: NDArray[np.bool_]) -> None:
        seen = evidence.observations
        self._offsets = np.stack([observed_offset(each, axes) for each in seen])
        self._steps = np.array(evidence.steps)
        self._is_seen = is_seen if is_seen.any() else np.ones(len(seen), bool)

    def has(self, step: str) -> bool:
        return bool((self._is_seen & (self._steps == step)).any())

    def of(self, step: str) -> Float32Array:
        return self._median(self._is_seen & (self._steps == step))

    def all(self) -> Float32Array:
        return self._median(self._is_seen)

    def _median(self, chosen: NDArray[np.bool_]) -> Float32Array:
        return np.asarray(np.median(self._offsets[chosen], axis=0), np.float32)


def _median_axes(seen: Sequence[EyeObservation]) -> EyeAxes:
    first, last = np.median([corners(each.lids) for each in seen], axis=0).astype(np.float32)
    return EyeAxes.of_corners(first, last)


def _sines_from_way(ways: dict[str, Float32Array]) -> Numbers:
    """The map from the iris's way to the sines of the gaze, after looking around."""
    if not set(ways) >= set(TARGETS) or not looked_around(ways):
        return EyeCalibration.sines_from_way
    seen = np.stack([ways[step] for step in TARGETS])
    wanted = np.sin([TARGETS[step] for step in TARGETS])
    found, *_ = np.linalg.lstsq(seen, wanted, rcond=None)
    return _flat(found.T)


def looked_around(ways: dict[str, Float32Array] | dict[str, tuple[float, float]]) -> bool:
    """Whether the iris moved enough, to every side, and not along one line only."""
    if not set(ways) >= set(TARGETS):
        return False
    if any(float(np.dot(ways[one], ways[other])) >= 0 for one, other in OPPOSITES):
        return False
    if min(float(np.linalg.norm(ways[step])) for step in TARGETS) < MIN_SIDE:
        return False
    sideways = np.subtract(ways[LEFT], ways[RIGHT])
    updown = np.subtract(ways[UP], ways[DOWN])
    lengths = np.linalg.norm(sideways), np.linalg.norm(updown)
    if min(lengths) < MIN_WAY:
        return False
    area = abs(float(sideways[0] * updown[1] - sideways[1] * updown[0]))
    return area > 0.5 * float(lengths[0] * lengths[1])


def _blink_range(
    seen: Sequence[EyeObservation],
    is_open: NDArray[np.bool_],
    is_closed: NDArray[np.bool_] | None,
) -> tuple[float, float]:
    scores = np.array([each.blink for each in seen])
    opened = float(np.median(scores[is_open]))
    closed = 1.0 if is_closed is None else float(np.median(scores[is_closed]))
    return (opened, closed) if closed > opened else (0.0, 1.0)


def _flat(values: NDArray[np.float32] | NDArray[np.float64]) -> Numbers:
    return tuple(float(value) for value in values.reshape(-1))
