"""What a view would look like in another pose, by what the other views show.

Warping a view moves its pixels but leaves their colours: shading and folds stay those of its own
pose. The other views, warped into its place, tell how the colours change with the pose; a ridge
regression on that change (in its dual form, with as many weights as views: Saunders, Gammerman and
Vovk 1998) continues it to the frame's pose. What comes with the lids is told apart and left out:
`models.eyes.posing` moves those.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models import warp
from models.bank.look import Look
from models.face.raster import FaceRaster
from models.reference import Reference

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

# Chosen on val clips, together with the mixing's sharpness, views from the first three seconds of
# each: the rest scores 31.24 dB / LPIPS .0240 from one view, 33.23 / .0219 from the nearest two,
# 33.36 / .0211 so. Unblurred, the change brings 0.15 dB more to a single view, and ghosts (.0239).
PENALTY = 30.0
BLUR_RATIO = 2 / 128  # of the crop's side
# Lid gap over the eye's width; small, so that lids explain a change before the turn does.
APERTURE_UNIT = 0.03


class ViewExtrapolator:
    """Continues one view of a face to other poses."""

    def __init__(
        self, views: Sequence[Reference], looks: Sequence[Look], index: int, raster: FaceRaster
    ) -> None:
        """Learn how the view at `index` changes from all `views` (S,S,3), at least two of them.

        `looks` are theirs, `raster` that of its mesh at S px.
        """
        own, mesh = views[index].image, views[index].mesh
        others = [i for i in range(len(views)) if i != index]
        back = warp.backward_maps(mesh, [views[i].mesh for i in others], raster)
        warped = [warp.look_up(views[i].image, to) for i, to in zip(others, back, strict=True)]
        sigma = BLUR_RATIO * len(own)
        change = [
            cv2.GaussianBlur(picture.astype(np.float32) - own, (0, 0), sigma) for picture in warped
        ]
        # In the type of the sum below: 1.4 MB for eight views of 128 px.
        self._change = np.array(change, np.float32).reshape(len(others), own.size)
        self._pose = looks[index].still
        steps = np.array([looks[i].still - self._pose for i in others], np.float32)
        lids = np.array([apertures(looks[i]) - apertures(looks[index]) for i in others])
        known = np.hstack([steps, lids / np.float32(APERTURE_UNIT)])
        gram = known @ known.T + PENALTY * np.eye(len(others), dtype=np.float32)
        # Rows of the lids' steps are left out: to them the change is not continued.
        self._weights = np.linalg.solve(gram, steps).T.astype(np.float32)

    def continued(self, picture: ImageU8, look: Look) -> ImageU8:
        """The view's `picture` (S,S,3) uint8, in its own place, with the colours of `look`."""
        shares = (look.still - self._pose) @ self._weights
        changed = picture + (shares @ self._change).reshape(picture.shape)
        return np.asarray(np.clip(changed + np.float32(0.5), 0, 255), np.uint8)


def apertures(look: Look) -> Float32Array:
    """(2,) lid gap across the middle of the right and left eye over the eye's width."""
    lids = look.lids.reshape(2, 2, -1, 2)  # eye, upper and lower, corner to corner, x and y
    gaps = np.clip(lids[:, 1, 2:7, 1] - lids[:, 0, 2:7, 1], 0, None).mean(1)
    corners = lids[:, :, -1].mean(1) - lids[:, :, 0].mean(1)
    width = np.maximum(np.linalg.norm(corners, axis=1), 1e-3)
    return np.asarray(gaps / width, np.float32)
