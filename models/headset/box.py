"""The box that a headset hides at the very least: what the protocols score and coverings draw.

From above the brows to the middle of the nose and a little wider than the face, turned with the
eyes. Lengths are in *spans*: the distance between the outer eye corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import LEFT_EYE, LEFT_SIDE, RIGHT_EYE, RIGHT_SIDE

Float32Array = NDArray[np.float32]

HEIGHT, LEAST_WIDTH, DROP = 1.05, 1.6, 0.05  # spans; the drop is below the eyes' middle
WIDTH_OF_FACE = 1.05  # where that is wider
MIN_SPAN_PX = 1e-6


@dataclass(frozen=True)
class HeadsetBox:
    """A turned rectangle in px of the mesh's image."""

    centre: tuple[float, float]
    width: float
    height: float
    angle_deg: float  # clockwise in the image, of the line from the right to the left eye

    def corners(self) -> Float32Array:
        """(4,2) px in drawing order."""
        size = (self.width, self.height)
        return np.asarray(cv2.boxPoints((self.centre, size, self.angle_deg)), np.float32)

    def grown(self, margin_px: float) -> HeadsetBox:
        """The box with `margin_px` more on every side."""
        width, height = self.width + 2 * margin_px, self.height + 2 * margin_px
        return HeadsetBox(self.centre, width, height, self.angle_deg)


def headset_box(
    mesh: Float32Array, width_ratio: float = 1.0, height_ratio: float = 1.0, lift: float = 0.0
) -> HeadsetBox:
    """Box over a face mesh (478,>=2) px; the ratios enlarge it, `lift` spans move it up."""
    right, left = mesh[RIGHT_EYE.outer_corner, :2], mesh[LEFT_EYE.outer_corner, :2]
    across = left - right
    span = max(float(np.linalg.norm(across)), MIN_SPAN_PX)
    down = np.array([-across[1], across[0]]) / span
    face_width = float(np.linalg.norm(mesh[LEFT_SIDE, :2] - mesh[RIGHT_SIDE, :2]))
    x, y = (right + left) / 2 + (DROP - lift) * span * down
    return HeadsetBox(
        centre=(float(x), float(y)),
        width=max(WIDTH_OF_FACE * face_width, LEAST_WIDTH * span) * width_ratio,
        height=HEIGHT * span * height_ratio,
        angle_deg=float(np.degrees(np.arctan2(across[1], across[0]))),
    )
