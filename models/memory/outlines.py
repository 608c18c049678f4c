"""Outlines at the hole's rim that lie elsewhere than in the reference, steadier."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
MaskU8 = NDArray[np.uint8]

KEPT_SHARE = 0.4  # of the frame before; chosen on val clips


class OutlineMemory:
    """Follows the differences of colour that fade behind the rim of one crop's hole.

    As the hole moves over hair and wall, what its rim shows there comes and goes with every pixel.
    """

    def __init__(self) -> None:
        """Begin without a past."""
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._before: Float32Array | None = None

    def step(self, outlines: Float32Array, hidden: MaskU8) -> Float32Array:
        """The next frame's `outlines` (S,S,3), steadier where `hidden` (S,S) is 1.

        Elsewhere they are what is seen, and the past of what is hidden next.
        """
        steady, before = outlines, self._before
        if before is not None and before.shape == outlines.shape:
            mixed = cv2.addWeighted(outlines, 1 - KEPT_SHARE, before, KEPT_SHARE, 0)
            steady = np.asarray(cv2.copyTo(mixed, hidden, outlines.copy()), np.float32)
        self._before = steady
        return steady
