"""The light inside the hole, steadier than what is read at its rim."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
MaskU8 = NDArray[np.uint8]

# Chosen on val clips.
KEPT_SHARE = 0.7  # of the frame before, deep inside the hole
RIM_RATIO = 3 / 128  # of the crop's side: over so far from the rim the past comes in
SWITCHED = 12.0  # 8-bit steps from frame to frame: no noise but a lamp


class LightMemory:
    """Follows the difference of colour that is continued into the hole of one crop.

    Crops follow the face, so that a place in the crop stays a place on the face.
    """

    def __init__(self) -> None:
        """Begin without a past."""
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._before: tuple[Float32Array, MaskU8] | None = None

    def step(self, continued: Float32Array, hidden: MaskU8) -> Float32Array:
        """`continued` (S,S,3), of which the part where `hidden` (S,S) is 1 counts, steadier.

        At the rim it is what it was, or a seam would show.
        """
        steady = continued
        if self._before is not None and self._before[1].shape == hidden.shape:
            before, was_hidden = self._before
            both = np.asarray(cv2.bitwise_and(hidden, was_hidden), np.uint8)
            share = KEPT_SHARE * alike(continued, before, both)
            away = cv2.distanceTransform(hidden, cv2.DIST_L2, 3)
            weight = share * both * (1 - np.exp(-away / (RIM_RATIO * len(hidden))))
            steady = continued + weight[..., None].astype(np.float32) * (before - continued)
        self._before = steady, hidden
        return steady


def alike(now: Float32Array, before: Float32Array, where: MaskU8) -> float:
    """1 where two frames' light differs by noise, 0 where somebody has switched a lamp."""
    if not where.any():
        return 0.0
    change = np.abs(cv2.mean(now - before, where)[:3]).max()
    return float(np.exp(-((change / SWITCHED) ** 2)))
