"""One view of the wearer's bare face: the picture and where the face lies in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """One view of the bare face, in crop coordinates."""

    image: ImageU8  # (S,S,3) uint8 BGR
    mesh: Float32Array  # (478,3) px of `image`
    matte: ImageU8 | None = None  # (S,S) 255 = the person, 0 = the room behind; None = not known

    def resized(self, size_px: int) -> Reference:
        """The same view as a crop of (size_px,size_px); itself when it has that size."""
        stored_px = len(self.image)
        if stored_px == size_px:
            return self
        method = cv2.INTER_AREA if size_px < stored_px else cv2.INTER_CUBIC
        image = cv2.resize(self.image, (size_px, size_px), interpolation=method)
        mesh = (self.mesh * np.float32(size_px / stored_px)).astype(np.float32, copy=False)
        return Reference(np.asarray(image, np.uint8), mesh, self._matte(size_px, method))

    def _matte(self, size_px: int, method: int) -> ImageU8 | None:
        if self.matte is None:
            return None
        resized = cv2.resize(self.matte, (size_px, size_px), interpolation=method)
        return np.asarray(resized, np.uint8)
