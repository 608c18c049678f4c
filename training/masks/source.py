"""What every kind of hole offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


class MaskSource(Protocol):
    """Draws the holes of one clip; equal generators give equal holes, at every size."""

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """Holes (T,S,S) uint8, 1 = hidden, for meshes (T,478,>=2) in px of a crop of `size_px`."""
        ...
