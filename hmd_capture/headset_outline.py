"""The outline that a headset's body and the picture on its front share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OUTLINE_POINTS = 56


def outline(squareness: float) -> NDArray[np.float64]:
    """Return a superellipse in -1..1, (56,2), with points crowded where it bends.

    `squareness` 2 is an ellipse, 8 nearly a rectangle.
    """
    turn = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    points = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.asarray(np.sign(points) * np.abs(points) ** (2.0 / squareness))
