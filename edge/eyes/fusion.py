"""Bringing the eye cameras to the camera frame's instant: observations in, eye states out."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from edge.eyes.axes import SteadyCorners
from edge.eyes.easing import Easing
from edge.eyes.one_euro import OneEuro
from edge.eyes.reading import (
    GAZE,
    NEUTRAL,
    OPENNESS,
    TUNING,
    closing_points,
    values_seen,
    values_told,
)
from edge.profile.eyes import EyeCalibration
from edge.records import EyeState
from streaming.clock import ClockOffset
from streaming.records import EyeObservation, EyeParameters, Float32Array, Side, Status

KEPT = 64  # observations per eye: half a second at 120 Hz
MIN_CONFIDENCE = 0.3
SIDES = (Side.RIGHT, Side.LEFT)
# Between two frames an eye may close and begin to open: the deepest point is shown with the later
# frame when it lies so far below both.
DIP = 0.05
LONGEST_FRAME_NS = 100_000_000
# An observation so much older than the last one is not late: the last one's time was wrong, as
# when the clock of another machine was set.
LATEST_NS = 1_000_000_000
STRAIGHT_RAD = 0.35  # an eye turned by more is not looking ahead: nothing to centre on

Offset = Callable[[], ClockOffset | None]
Calibrations = tuple[EyeCalibration, EyeCalibration]  # right, left
EyePair = tuple[EyeState, EyeState]  # right, left


class EyeFusion:
    """Remembers what both eyes did and tells it for the instant of a camera frame.

    An eye that is not seen does what the other one does; when both are unseen they open and look
    ahead. `observe`, `use_calibration` and `recentre` may be called from other threads than `at`.
    """

    def __init__(
        self,
        calibration: Calibrations,
        max_age_ns: int,
        offset: ClockOffset | Offset | None = None,
    ) -> None:
        """`offset` turns the sender's clock into ours; none is needed on one machine.

        A function is asked anew for every observation, which is left out while it returns None.
        """
        self._calibration = calibration
        self._max_age_ns = max_age_ns
        fixed = offset if isinstance(offset, ClockOffset) else ClockOffset()
        self._offset: Offset = offset if callable(offset) else lambda: fixed
        self._lock = threading.Lock()
        self._timelines = (_Timeline(), _Timeline())
        self._easing = Easing()

    @property
    def calibration(self) -> Calibrations:
        """What (right, left) are read by now."""
        return self._calibration

    def use_calibration(self, calibration: Calibrations) -> None:
        """Read what comes from now on by another calibration."""
        with self._lock:
            self._calibration = calibration

    def recentre(self) -> Calibrations | None:
        """Take the gaze of this moment as straight ahead; ranges stay as they are.

        Returns the calibration that is used from now on, or None when no eye was seen just now,
        or looks too far aside for somebody who looks ahead.
        """
        with self._lock:
            changed = list(self._calibration)
            for index, timeline in enumerate(self._timelines):
                if not timeline.is_fresh(self._max_age_ns):
                    return None
                gaze = timeline.newest[GAZE]
                if float(np.abs(gaze).max()) > STRAIGHT_RAD:
                    return None
                yaw, pitch = (float(v) for v in gaze + self._calibration[index].centre)
                changed[index] = dataclasses.replace(changed[index], centre=(yaw, pitch))
            self._calibration = changed[0], changed[1]
            return self._calibration

    def observe(self, observation: EyeObservation | EyeParameters) -> None:
        """Remember one observation; unsure and late-coming ones are left out.

        Parameters are taken as they are: the headset that sends them has calibrated them.
        """
        offset = self._offset()
        if offset is None:
            return
        if isinstance(observation, EyeObservation) and observation.confidence < MIN_CONFIDENCE:
            return
        time_ns = offset.ours_from_sender(observation.capture_time_ns)
        with self._lock:
            index = observation.side.eye_index
            if isinstance(observation, EyeParameters):
                self._timelines[index].add(time_ns, values_told(observation))
                return
            if self._calibration[index].is_swapped:
                index = 1 - index
            timeline = self._timelines[index]
            axes = timeline.corners.follow(observation.lids, time_ns)
            values = values_seen(observation, axes, self._calibration[index], timeline.newest)
            timeline.add(time_ns, values)

    def at(self, time_ns: int) -> EyePair:
        """Both eyes at an instant of our clock; the instants of successive calls rise."""
        with self._lock:
            right, left = (each.at(time_ns, self._max_age_ns) for each in self._timelines)
            shown = self._easing.shown((right[0], left[0]), time_ns)
        return (
            _state(Side.RIGHT, shown[0], right[1]),
            _state(Side.LEFT, shown[1], left[1]),
        )


def eye_statuses(eyes: EyePair) -> tuple[Status, ...]:
    """What a client should know about the eyes."""
    seen = sum(eye.age_ns is not None for eye in eyes)
    return {0: (Status.STALE_EYES,), 1: (Status.ONE_EYE,), 2: ()}[seen]


def neutral_eyes() -> EyePair:
    """Both eyes open and looking ahead, as when neither is seen."""
    return _state(Side.RIGHT, NEUTRAL, None), _state(Side.LEFT, NEUTRAL, None)


def _state(side: Side, values: Float32Array, age_ns: int | None) -> EyeState:
    openness = float(np.clip(values[OPENNESS], 0.0, 1.0))
    return EyeState(side, openness, values[GAZE].copy(), age_ns, closing_points(values))


@dataclasses.dataclass(frozen=True)
class _Reading:
    time_ns: int
    values: Float32Array  # (7,) filtered


class _Timeline:
    """What one eye did lately, in the wearer's own measure."""

    def __init__(self) -> None:
        self.readings: deque[_Reading] = deque(maxlen=KEPT)
        self.corners = SteadyCorners()
        self._filter = OneEuro(TUNING)
        self._asked_ns: int | None = None  # the frame before

    @property
    def newest(self) -> Float32Array:
        return self.readings[-1].values if self.readings else NEUTRAL

    def is_fresh(self, max_age_ns: int) -> bool:
        """Whether the eye was seen when it was last asked for."""
        if not self.readings:
            return False
        return (self._asked_ns or 0) - self.readings[-1].time_ns <= max_age_ns

    def clear(self) -> None:
        self.readings.clear()
        self.corners = SteadyCorners()
        self._filter.reset()
        self._asked_ns = None

    def add(self, time_ns: int, values: Float32Array) -> None:
        if self.readings and time_ns < self.readings[-1].time_ns - LATEST_NS:
            self.clear()
        if not self.readings or time_ns > self.readings[-1].time_ns:
            self.readings.append(_Reading(time_ns, self._filter.filtered(values, time_ns)))

    def at(self, time_ns: int, max_age_ns: int) -> tuple[Float32Array | None, int | None]:
        """Values (7,) and age; None for an eye not seen recently enough."""
        before = next((r for r in reversed(self.readings) if r.time_ns <= time_ns), None)
        after = next((r for r in self.readings if r.time_ns > time_ns), None)
        near = [r for r in (before, after) if r and abs(time_ns - r.time_ns) <= max_age_ns]
        asked_ns, self._asked_ns = self._asked_ns, time_ns
        if not near:
            return None, None
        share = 0.0
        if len(near) == 2:
            share = (time_ns - near[0].time_ns) / (near[1].time_ns - near[0].time_ns)
        values = near[0].values + (near[-1].values - near[0].values) * np.float32(share)
        deepest = self._deepest_between(asked_ns, time_ns)
        if deepest is not None and deepest[OPENNESS] < values[OPENNESS] - DIP:
            values = deepest
        return values, min(abs(time_ns - reading.time_ns) for reading in near)

    def _deepest_between(self, last_ns: int | None, time_ns: int) -> Float32Array | None:
        """The values of a blink's deepest point that no frame showed."""
        if last_ns is None or not 0 < time_ns - last_ns <= LONGEST_FRAME_NS:
            return None
        times = [reading.time_ns for reading in self.readings]
        inside = [i for i, at_ns in enumerate(times) if last_ns < at_ns <= time_ns and i > 0]
        if not inside:
            return None
        lowest = min(inside, key=lambda i: self.readings[i].values[OPENNESS])
        found = self.readings[lowest].values
        is_dip = found[OPENNESS] < self.readings[lowest - 1].values[OPENNESS] - DIP
        return found if is_dip else None
