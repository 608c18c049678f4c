"""Bringing the eye cameras to the camera frame's instant: observations in, eye states out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from edge.eyes.measures import aperture, gaze_from_offset, observed_offset
from edge.profile import EyeCalibration
from edge.records import EyeState
from streaming.clock import ClockOffset
from streaming.records import EyeObservation, EyeParameters, Side, Status

KEPT = 64  # observations per eye: half a second at 120 Hz
MIN_CONFIDENCE = 0.3
MIN_SPAN = 0.02  # of the eye's width, between closed and open: below it a calibration is no use

Offset = Callable[[], ClockOffset | None]
EyePair = tuple[EyeState | None, EyeState | None]  # right, left


class EyeFusion:
    """Remembers what both eyes did and tells it for the instant of a camera frame.

    `observe` may be called from another thread than `at`.
    """

    def __init__(
        self,
        calibration: tuple[EyeCalibration, EyeCalibration],
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
        self._seen: tuple[deque[_Reading], ...] = (deque(maxlen=KEPT), deque(maxlen=KEPT))

    def observe(self, observation: EyeObservation | EyeParameters) -> None:
        """Remember one observation; unsure and late-coming ones are left out.

        Parameters are taken as they are: the headset that sends them has calibrated them.
        """
        offset = self._offset()
        if offset is None:
            return
        index = observation.side.eye_index
        if isinstance(observation, EyeParameters):
            reading = _told(observation, offset)
        elif observation.confidence < MIN_CONFIDENCE:
            return
        else:
            reading = _read(observation, self._calibration[index], offset)
        with self._lock:
            seen = self._seen[index]
            if not seen or reading.time_ns > seen[-1].time_ns:
                seen.append(reading)

    def reset(self) -> None:
        """Forget all observations (another wearer)."""
        with self._lock:
            for seen in self._seen:
                seen.clear()

    def at(self, time_ns: int) -> EyePair:
        """Both eyes at an instant of our clock; None for an eye not seen recently enough."""
        with self._lock:
            right, left = (list(seen) for seen in self._seen)
        return self._state(Side.RIGHT, right, time_ns), self._state(Side.LEFT, left, time_ns)

    def _state(self, side: Side, seen: list[_Reading], time_ns: int) -> EyeState | None:
        before = next((r for r in reversed(seen) if r.time_ns <= time_ns), None)
        after = next((r for r in seen if r.time_ns > time_ns), None)
        near = [r for r in (before, after) if r and abs(time_ns - r.time_ns) <= self._max_age_ns]
        if not near:
            return None
        share = 0.0
        if len(near) == 2:
            share = (time_ns - near[0].time_ns) / (near[1].time_ns - near[0].time_ns)
        values = near[0].values + (near[-1].values - near[0].values) * np.float32(share)
        age_ns = min(abs(time_ns - reading.time_ns) for reading in near)
        return EyeState(side, float(values[0]), values[1:], age_ns)


def eye_statuses(eyes: EyePair) -> tuple[Status, ...]:
    """What a client should know about the eyes."""
    seen = sum(eye is not None for eye in eyes)
    return {0: (Status.STALE_EYES,), 1: (Status.ONE_EYE,), 2: ()}[seen]


def openness_of(value: float, calibration: EyeCalibration) -> float:
    """0 = closed, 1 = wide open, from an aperture and the wearer's calibration."""
    span = max(calibration.open - calibration.closed, MIN_SPAN)
    return float(np.clip((value - calibration.closed) / span, 0.0, 1.0))


class _Reading:
    """One observation in the wearer's own measure: openness, yaw, pitch."""

    __slots__ = ("time_ns", "values")

    def __init__(self, time_ns: int, openness: float, yaw: float, pitch: float) -> None:
        self.time_ns = time_ns
        self.values = np.array([openness, yaw, pitch], np.float32)


def _read(
    observation: EyeObservation, calibration: EyeCalibration, offset: ClockOffset
) -> _Reading:
    openness = openness_of(aperture(observation.lids), calibration)
    # Lids that were not found well still leave the camera's own blink score.
    openness = min(openness, 1.0 - observation.blink)
    yaw, pitch = gaze_from_offset(observed_offset(observation), calibration.rest)
    time_ns = offset.ours_from_sender(observation.capture_time_ns)
    return _Reading(time_ns, openness, float(yaw), float(pitch))


def _told(parameters: EyeParameters, offset: ClockOffset) -> _Reading:
    """An eye of which only the gaze is known counts as open, one with lids alone looks ahead."""
    openness = 1.0 if parameters.openness is None else parameters.openness
    yaw, pitch = (0.0, 0.0) if parameters.gaze is None else parameters.gaze
    time_ns = offset.ours_from_sender(parameters.capture_time_ns)
    return _Reading(time_ns, openness, float(yaw), float(pitch))
