"""Which points of a face the camera sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streaming.records import Float32Array


def is_visible(mesh: Float32Array, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(478,) mesh points inside the frame that the headset does not hide."""
    x, y = np.round(mesh[:, 0]).astype(np.int64), np.round(mesh[:, 1]).astype(np.int64)
    height, width = mask.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    known = mask[y.clip(0, height - 1), x.clip(0, width - 1)] == 0
    return np.asarray(inside & known, np.bool_)
