"""What a view would look like in another pose, by what the other views show.

Warping a view moves its pixels but leaves their colours: shading, folds and lids stay those of its
own pose. The other views, warped into its place, tell how the colours change with pose and lids; a
ridge regression on that change (Saunders, Gammerman and Vovk 1998 in its dual form, with as many
weights as views) continues it to the frame's pose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models import warp
from models.bank.layers import around_eye
from models.bank.look import Look
from models.face_mesh import EYES
from models.face_raster import FaceRaster
from models.reference import Reference

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

# Chosen on val clips, views from the first three seconds of each: crop PSNR of the rest 33.67,
# 33.69 and 33.53 dB with 10, 30 and 100; 32.95 without extrapolation, 30.96 from one view.
PENALTY = 30.0
APERTURE_UNIT = 0.08  # lid gap over the eye's width that counts as one unit of pose change


class ViewExtrapolator:
    """Continues one view of a face to other looks; what the lids change stays around the eyes."""

    def __init__(
        self, views: Sequence[Reference], looks: Sequence[Look], index: int, raster: FaceRaster
    ) -> None:
        """Learn how the view at `index` changes from all `views` (S,S,3), at least two of them.

        `looks` are theirs, `raster` that of its mesh at S px.
        """
        self._picture, mesh = views[index].image, views[index].mesh
        self._look = looks[index]
        others = [i for i in range(len(views)) if i != index]
        back = warp.backward_maps(mesh, [views[i].mesh for i in others], raster)
        warped = [warp.look_up(views[i].image, to) for i, to in zip(others, back, strict=True)]
        change = [picture.astype(np.float32) - self._picture for picture in warped]
        # In the type of the sum below: 1.4 MB for eight views of 128 px.
        self._change = np.array(change, np.float32).reshape(len(others), self._picture.size)
        self._of_face = _weights([_face_step(looks[i], self._look) for i in others])
        self._of_eyes = _weights([_eye_step(looks[i], self._look) for i in others])
        self._around_eyes = _around_eyes(mesh, len(self._picture))

    def picture(self, look: Look) -> ImageU8:
        """The view (S,S,3) uint8 in its own place, with the colours of `look`."""
        of_face = _face_step(look, self._look) @ self._of_face
        of_eyes = _eye_step(look, self._look) @ self._of_eyes
        shares = np.array([of_face, of_eyes - of_face], np.float32)
        face, eyes = (shares @ self._change).reshape(2, *self._picture.shape)
        changed = face + eyes * self._around_eyes + self._picture
        return np.asarray(np.clip(changed + np.float32(0.5), 0, 255), np.uint8)


def _face_step(to: Look, start: Look) -> Float32Array:
    """(P,) from one look to another, without the lids."""
    return to.pose - start.pose


def _eye_step(to: Look, start: Look) -> Float32Array:
    """(P+2,) the same with the lids and both apertures, on comparable scales."""
    lids = (apertures(to) - apertures(start)) / np.float32(APERTURE_UNIT)
    return np.concatenate([to.whole - start.whole, lids])


def _weights(steps: Sequence[Float32Array]) -> Float32Array:
    """(F,V) from a step (F,) to the shares of the V views whose steps are given."""
    known = np.array(steps, np.float32)
    gram = known @ known.T + PENALTY * np.eye(len(known), dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, known).T, np.float32)


def _around_eyes(mesh: Float32Array, size_px: int) -> Float32Array:
    """(S,S,1) in 0..1, where a view's eyes are."""
    whole = (slice(0, size_px), slice(0, size_px))
    right, left = (around_eye(mesh, points).alpha(whole) for points in EYES)
    return np.maximum(right, left)[..., None]


def apertures(look: Look) -> Float32Array:
    """(2,) lid gap across the middle of the right and left eye over the eye's width."""
    lids = look.lids.reshape(2, 2, -1, 2)  # eye, upper and lower, corner to corner, x and y
    gaps = np.clip(lids[:, 1, 2:7, 1] - lids[:, 0, 2:7, 1], 0, None).mean(1)
    corners = lids[:, :, -1].mean(1) - lids[:, :, 0].mean(1)
    width = np.maximum(np.linalg.norm(corners, axis=1), 1e-3)
    return np.asarray(gaps / width, np.float32)
