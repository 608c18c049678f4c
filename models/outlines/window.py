"""The part of a crop that OutlineNet sees: a headset covers half of the head's surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.outlines.contract import HEIGHT_PX, SIZE_PX, WIDTH_PX

Float32Array = NDArray[np.float32]

NEARLY_ALL = 0.999  # of the outline that a window can hold: these windows do as well


@dataclass(frozen=True)
class Window:
    """Where it lies, px of the crop."""

    top: int  # 0..SIZE_PX - HEIGHT_PX
    left: int  # 0..SIZE_PX - WIDTH_PX

    @property
    def area(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        rows = slice(self.top, self.top + HEIGHT_PX)
        return rows, slice(self.left, self.left + WIDTH_PX)

    def moved(self, down: int, right: int) -> Window:
        """A window so many px further, as far as the crop reaches."""
        top = min(max(self.top + down, 0), SIZE_PX - HEIGHT_PX)
        return Window(top, min(max(self.left + right, 0), SIZE_PX - WIDTH_PX))


def window_around(soft: Float32Array) -> Window:
    """The window that holds the most of a soft outline (M,M), with room on its sides."""
    step = SIZE_PX // len(soft)
    top = _start(soft.sum(axis=1), HEIGHT_PX // step)
    return Window(top * step, _start(soft.sum(axis=0), WIDTH_PX // step) * step)


def enlarged(soft: Float32Array) -> Float32Array:
    """A soft outline (M,M) at the crop's full resolution, (S,S)."""
    size = (SIZE_PX, SIZE_PX)
    return np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _start(shares: Float32Array, length: int) -> int:
    """Where a stretch of `length` holds the most of `shares` (M,)."""
    held = np.convolve(shares, np.ones(length, np.float32), "valid")
    best = np.flatnonzero(held >= NEARLY_ALL * held.max())
    return int(best[len(best) // 2])
