"""The fill of the frame before, moved along with the face: what is drawn anew trembles less.

At the hole's rim it also holds what was seen a frame ago and is hidden now. The result is carried
on in its turn (temporal antialiasing, Yang et al. 2020), so that noise of many frames averages out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models import warp
from models.bank.layers import around_eye, window_around
from models.face.mesh import EYES
from models.face.raster import FaceRaster
from models.memory.light import alike

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
MaskU8 = NDArray[np.uint8]

# Chosen on val clips.
RIM_SHARE, INNER_SHARE = 0.6, 0.5  # of the frame before, at the hole's rim and deep inside
RIM_RATIO = 3 / 128  # of the crop's side: over so far the one becomes the other


class FillMemory:
    """Follows what one crop shows."""

    def __init__(self) -> None:
        """Begin without a past."""
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._before: tuple[ImageU8, Float32Array] | None = None

    def step(
        self,
        fill: ImageU8,
        crop: ImageU8,
        hidden: MaskU8,
        mesh: Float32Array,
        raster: FaceRaster,
    ) -> ImageU8:
        """The next frame's `fill` (S,S,3), steadier where `hidden` (S,S) is 1.

        `crop` (S,S,3) is what was seen elsewhere, `mesh` (478,3) px and its `raster` the face.
        """
        steady, box = fill, window_around(hidden)
        if self._before is not None and self._before[0].shape == fill.shape:
            before, mesh_before = self._before
            back = warp.backward_map(mesh, mesh_before, raster)[box]
            past = warp.look_up(before, back, cv2.INTER_CUBIC)  # bilinear, it would blur and blur
            steady = fill.copy()
            steady[box] = _mixed(fill[box], past, _shares(hidden, mesh)[box])
        self._before = np.asarray(cv2.copyTo(steady, hidden, crop.copy()), np.uint8), mesh
        return steady


def _mixed(now: ImageU8, past: ImageU8, shares: Float32Array) -> ImageU8:
    fresh, kept = now.astype(np.float32), past.astype(np.float32)
    shares = shares * alike(fresh, kept, np.asarray(shares > 0, np.uint8))
    mixed = fresh + shares[..., None] * (kept - fresh) + np.float32(0.5)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _shares(hidden: MaskU8, mesh: Float32Array) -> Float32Array:
    """How much of the past is kept (S,S): nothing of the eyes, which move by themselves."""
    away = cv2.distanceTransform(hidden, cv2.DIST_L2, 3)
    near = np.exp((1 - away) / (RIM_RATIO * len(hidden)))
    shares = hidden * (INNER_SHARE + (RIM_SHARE - INNER_SHARE) * near).astype(np.float32)
    whole = (slice(0, len(hidden)),) * 2
    for eye in EYES:
        where = around_eye(mesh, eye)
        window = where.window(whole)
        shares[window] *= 1 - where.alpha(window)
    return np.asarray(shares, np.float32)
