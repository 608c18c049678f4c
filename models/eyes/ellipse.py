"""Ellipses as OpenCV writes them and as centre and second moments, which a network can learn.

The second moments of an even ellipse about its centre are d²/16 along each of its axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

LEAST_MOMENT = 1e-12


def moments_of(ellipse: Float32Array | FloatArray) -> FloatArray:
    """(5,) centre x, y and moments xx, xy, yy of an OpenCV ellipse (5,): x, y, axes, degrees."""
    x, y, first, second, angle = (float(value) for value in ellipse)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along, across = first**2 / 16, second**2 / 16
    return np.array(
        [
            x,
            y,
            along * cos**2 + across * sin**2,
            (along - across) * cos * sin,
            along * sin**2 + across * cos**2,
        ]
    )


def ellipse_of(moments: Float32Array | FloatArray) -> Float32Array:
    """(5,) OpenCV ellipse of centre and moments (5,): shorter axis first, angle in [0, 180)."""
    x, y, xx, xy, yy = (float(value) for value in moments)
    half, skew = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    long_angle = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    short, long = (4 * np.sqrt(max(value, LEAST_MOMENT)) for value in (half - skew, half + skew))
    return np.array([x, y, short, long, (long_angle + 90.0) % 180.0], np.float32)


def moved_moments(moments: FloatArray, target_from_source: FloatArray) -> FloatArray:
    """(5,) centre and moments after an affine map (2,3)."""
    turn, shift = target_from_source[:, :2], target_from_source[:, 2]
    centre = turn @ moments[:2] + shift
    own = np.array([[moments[2], moments[3]], [moments[3], moments[4]]])
    spread = turn @ own @ turn.T
    return np.array([*centre, spread[0, 0], spread[0, 1], spread[1, 1]])
