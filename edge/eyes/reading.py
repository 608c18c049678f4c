"""Reading one eye by the wearer's calibration: what was seen becomes openness, gaze and lids."""

from __future__ import annotations

import numpy as np

from edge.eyes.axes import EyeAxes
from edge.eyes.lid_shape import closed_heights, closing_along, closing_of, lid_heights
from edge.eyes.measures import aperture, gaze_from_offset, observed_offset
from edge.eyes.one_euro import OneEuroTuning
from edge.profile.eyes import EyeCalibration
from streaming.records import EyeObservation, EyeParameters, Float32Array

# One eye as numbers that can be filtered and interpolated.
OPENNESS, GAZE, CLOSING = 0, slice(1, 3), slice(3, 7)
VALUES = 7
NEUTRAL: Float32Array = np.array([1, 0, 0, 0, 0, 0, 0], np.float32)  # open and straight ahead
MIN_SPAN = 0.02  # of the eye's width, between closed and open: below it a calibration is no use
MIN_BLINK_SPAN = 0.2
SEEN_IRIS = 0.25  # openness below which an iris is hidden and its place a guess
# At rest 1 Hz holds still; a blink's 20 per second opens the lids' filter to 60 Hz, a saccade's
# 5 rad/s the gaze's to 20 Hz. Chosen so that a 120 ms blink keeps 92 % of its depth.
TUNING = OneEuroTuning(
    still_hz=np.array([1, 1, 1, 1, 1, 1, 1], np.float32),
    per_speed=np.array([3, 4, 4, 3, 1, 3, 1], np.float32),
    speed_hz=6.0,
)


def openness_of(value: float, calibration: EyeCalibration) -> float:
    """0 = closed, 1 = wide open, from an aperture and the wearer's calibration."""
    span = max(calibration.open - calibration.closed, MIN_SPAN)
    return float(np.clip((value - calibration.closed) / span, 0.0, 1.0))


def values_seen(
    observation: EyeObservation, axes: EyeAxes, calibration: EyeCalibration, before: Float32Array
) -> Float32Array:
    """(7,) openness, yaw, pitch, closing of both lids.

    `axes` are the eye's in its camera's image, `before` (7,) its last values.
    """
    openness = openness_of(aperture(observation.lids, axes), calibration)
    # Lids that were not found well still leave the camera's own blink score.
    openness = min(openness, 1.0 - _blink(observation.blink, calibration))
    gaze = before[GAZE]
    if openness >= SEEN_IRIS:
        offset = observed_offset(observation, axes)
        gaze = gaze_from_offset(offset, calibration.rest, calibration.sines_from_way)
        gaze = gaze - np.asarray(calibration.centre, np.float32)
    closing = _closing(observation, axes, calibration, openness)
    return np.concatenate([[openness], gaze, closing.reshape(-1)]).astype(np.float32)


def values_told(parameters: EyeParameters) -> Float32Array:
    """(7,) of a headset that tells openness or gaze: without one, open, or straight ahead."""
    values = NEUTRAL.copy()
    if parameters.openness is not None:
        values[OPENNESS] = parameters.openness
        values[CLOSING] = _uniform(parameters.openness).reshape(-1)
    if parameters.gaze is not None:
        values[GAZE] = parameters.gaze
    return values


def mirrored(values: Float32Array) -> Float32Array:
    """(7,) of the other eye, if it does the same: both look to one side, lids are mirrored."""
    other = values.copy()
    other[[4, 6]] *= -1  # how much more a lid has closed at the image's right
    return other


def closing_points(values: Float32Array) -> Float32Array:
    """(2,9) how far each lid point has closed."""
    return closing_along(values[CLOSING].reshape(2, 2))


def _closing(
    observation: EyeObservation, axes: EyeAxes, calibration: EyeCalibration, openness: float
) -> Float32Array:
    if not calibration.open_lids:
        return _uniform(openness)
    opened = np.asarray(calibration.open_lids, np.float32).reshape(2, -1)
    closed = (
        np.asarray(calibration.closed_lids, np.float32).reshape(2, -1)
        if calibration.closed_lids
        else closed_heights(opened)
    )
    lines = closing_of(lid_heights(observation.lids, axes), opened, closed)
    # The blink score may know that the eye is closed where the lids were not found well.
    lines[0, 0] += max(0.0, (1 - openness) - float(lines[0, 0]) - 0.3)
    if calibration.sines_from_way[0] < 0:  # the camera's image is mirrored
        lines[:, 1] *= -1
    return lines


def _blink(score: float, calibration: EyeCalibration) -> float:
    opened, closed = calibration.blink
    return float(np.clip((score - opened) / max(closed - opened, MIN_BLINK_SPAN), 0.0, 1.0))


def _uniform(openness: float) -> Float32Array:
    return np.array([[1 - openness, 0], [1 - openness, 0]], np.float32)
