"""Whatever a camera delivers, as the 8-bit BGR that everything after it works on."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.records import ImageU8


def as_bgr(image: NDArray[Any]) -> ImageU8 | None:
    """(H,W,3) uint8 BGR of grey, BGRA or BGR images of 8 or 16 bits or 0..1 floats.

    16-bit images of cameras with fewer true bits (10, 12, 14) are scaled by the brightest pixel's
    power of two. None if the array is no picture of this kind.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.size == 0 or image.shape[2] not in (1, 3, 4):
        return None
    eight_bits = _eight_bits(image)
    if eight_bits is None:
        return None
    if image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(eight_bits, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(eight_bits[..., :3])


def _eight_bits(image: NDArray[Any]) -> ImageU8 | None:
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    if image.dtype == np.uint16:
        bits = max(8, int(image.max()).bit_length())
        return np.asarray(image >> (bits - 8), np.uint8)
    if np.issubdtype(image.dtype, np.floating):
        return np.asarray(np.nan_to_num(image).clip(0, 1) * 255, np.uint8)
    return None
