"""The tracker's crops, cut out of pictures with labels: where a crop lies, and what it shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.headset.contract import SIZE_PX

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


def crop_matrix(centre: Float32Array, side: float, roll_deg: float) -> NDArray[np.float64]:
    """(2,3) picture px -> crop px of a square of side `side` around `centre`."""
    scale = SIZE_PX / side
    turn = np.radians(roll_deg)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (SIZE_PX - 1) / 2 - linear @ np.asarray(centre, np.float64)
    return np.column_stack([linear, middle])


def warped(image: ImageU8, matrix: NDArray[np.float64], edge: int) -> ImageU8:
    """A picture (H,W[,3]) under a matrix of `crop_matrix`; `edge` is one of cv2's borders."""
    # Strongly reduced pictures are halved first, else the warp leaves out pixels.
    scale = float(np.hypot(*matrix[:, 0]))
    matrix = matrix.copy()
    while scale < 0.5:
        image = np.asarray(cv2.pyrDown(image), np.uint8)
        matrix[:, :2] *= 2
        scale *= 2
    size = (SIZE_PX, SIZE_PX)
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=edge), np.uint8)


def moved_into(mesh: Float32Array, matrix: NDArray[np.float64]) -> Float32Array:
    """A mesh in px of the picture -> share of the crop's side, pixel edges from 0 to 1."""
    points = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2] + 0.5
    depth = mesh[:, 2:] * float(np.hypot(*matrix[:, 0]))
    return np.asarray(np.concatenate([points, depth], axis=1) / SIZE_PX, np.float32)
