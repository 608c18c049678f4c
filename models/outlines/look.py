"""What OutlineNet is shown of a frame, in sessions and in training alike. No torch."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.outlines.window import Window, enlarged

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

AROUND = np.ones((3, 3), np.uint8)  # the head is placed no better than that
STRANGER = 4  # times the 8-bit steps: from 64 on a colour is as strange as can be


def outline_look(cut: ImageU8, soft: Float32Array, bare: ImageU8, window: Window) -> ImageU8:
    """(9,H,W) uint8, size and channels as in the contract, of a crop (S,S,3) BGR.

    `soft` (M,M) and `bare` (H,W,4) are what `BareLook` says of it and lays beside its window.
    """
    outline = np.asarray(enlarged(soft)[window.area] * 255 + np.float32(0.5), np.uint8)
    seen = np.ascontiguousarray(cut[window.area])
    blue, green, red = cv2.split(seen)
    *colours, known = cv2.split(bare)
    strange = _strange(seen, np.asarray(cv2.merge(colours), np.uint8))
    return np.stack([red, green, blue, *colours[::-1], outline, known, strange])


def _strange(cut: ImageU8, bare: ImageU8) -> ImageU8:
    """How far colours (H,W,3) lie outside the range around the same place of `bare`, (H,W)."""
    above = cv2.subtract(cut, cv2.dilate(bare, AROUND))
    below = cv2.subtract(cv2.erode(bare, AROUND), cut)
    blue, green, red = cv2.split(cv2.max(above, below))
    most = cv2.max(cv2.max(blue, green), red)
    return np.asarray(cv2.convertScaleAbs(most, alpha=STRANGER), np.uint8)
