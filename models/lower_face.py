"""The lower face behind a face mask: the wearer's own, from the reference, posed by what is seen.

A face tracker guesses the lower face under a mask, and guesses anybody's. The reference mesh knows
the wearer's. It is laid over the points that are seen (rigid motion and scale; Umeyama, PAMI 1991)
and takes the hidden points' place; what the fit misses beside the mask fades out under it. The
mouth is at rest, as it was in one of the views: nobody sees what it does now.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bank.look import look_of, pose_distances
from models.bank.mouth import EYE_CORNERS, MOUTH, MOUTH_CORNERS, resting_views
from models.face.mesh import NOSE_BRIDGE, NOSE_ROOT

Float32Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

LEAST_POINTS = 40  # fewer seen points say too little of the pose
FADE_SHARE = 0.12  # of the eye span: how far a miss beside the mask reaches under it
NOSE_MIDDLE = NOSE_BRIDGE[2]  # points above it are fitted to; masks pull at those below
TURNED = (
    0.3,
    1.0,
)  # squared pose distance to the first view: taken whole up to, from the lips only
AROUND_MOUTH = 0.3  # of the mouth's width: how far beside the lips the resting mouth's skin reaches


class LowerFace:
    """Knows the wearer's whole mesh."""

    def __init__(self, reference_mesh: Float32Array) -> None:
        """`reference_mesh` (478,3) px shows the bare face."""
        self._reference = reference_mesh.astype(np.float64)
        corners = self._reference[list(EYE_CORNERS), :2]
        span = max(float(np.linalg.norm(corners[1] - corners[0])), 1e-6)
        shares = self._reference / span
        apart = ((shares[:, None] - shares[None]) ** 2).sum(-1)
        self._near = np.exp(-apart / (2 * (FADE_SHARE / 2) ** 2)).astype(np.float32)
        self._is_upper = self._reference[:, 1] < self._reference[NOSE_MIDDLE, 1]

    def posed(self, mesh: Float32Array, visible: Bools) -> Float32Array:
        """The reference (478,3) px laid over the seen points of the upper face of `mesh`."""
        used = visible & self._is_upper
        if used.sum() < LEAST_POINTS:
            used = self._is_upper
        return np.asarray(_laid_over(self._reference, mesh.astype(np.float64), used), np.float32)

    def completed(self, mesh: Float32Array, visible: Bools) -> Float32Array:
        """`mesh` (478,3) px with the points that are not `visible` (478,) as the wearer's own."""
        posed = self.posed(mesh, visible)
        missed = (mesh - posed).astype(np.float32)
        hidden = ~visible
        result = mesh.astype(np.float32, copy=True)
        if not hidden.any() or not visible.any():
            return result
        near = self._near[np.ix_(hidden, visible)]
        # A constant beside the weights lets the miss fade where nothing seen is near.
        carried = near @ missed[visible] / (near.sum(1, keepdims=True) + 1.0)
        result[hidden] = posed[hidden] + carried
        return result


def lengthened(mesh: Float32Array, hidden: Bools, share: float) -> Float32Array:
    """`mesh` (478,3) px with its `hidden` points (478,) farther down the face.

    Each by `share` of how far it lies below the root of the nose, across the line of the eyes.
    """
    right, left = mesh[list(EYE_CORNERS), :2]
    across = left - right
    down = np.array([-across[1], across[0]]) / max(float(np.linalg.norm(across)), 1e-6)
    result = mesh.astype(np.float32, copy=True)
    below = (result[hidden, :2] - result[NOSE_ROOT, :2]) @ down
    result[hidden, :2] += share * below[:, None] * down
    return result


def resting_mesh(meshes: Sequence[Float32Array]) -> Float32Array:
    """The first mesh (478,3) px, with the mouth of a view whose mouth rests, nearest in pose.

    `meshes` are those of the wearer's views, best frontal first. A mesh does not turn as a rigid
    body would: of a view in nearly the same pose jaw and chin are taken too, as they move with the
    mouth; of one that is turned, only what belongs to the lips.
    """
    looks = [look_of(mesh) for mesh in meshes]
    resting = resting_views(meshes)
    turns = pose_distances(looks[0], np.stack([looks[view].pose for view in resting]))
    if resting[int(turns.argmin())] == 0:
        return meshes[0]
    frontal, nearest = meshes[0], meshes[resting[int(turns.argmin())]]
    upper = frontal[:, 1] < frontal[NOSE_MIDDLE, 1]
    laid = _laid_over(nearest.astype(np.float64), frontal.astype(np.float64), upper)
    same, turned = TURNED
    whole = float(np.clip((turned - turns.min()) / (turned - same), 0, 1))
    share = np.maximum(whole, _beside_lips(frontal))[:, None]
    return np.asarray(frontal + share * (laid - frontal), np.float32)


def _beside_lips(mesh: Float32Array) -> NDArray[np.float32]:
    """(478,) 1 at the lips of a mesh (478,3), fading to 0 beside them."""
    corners = mesh[list(MOUTH_CORNERS)]
    width = max(float(np.linalg.norm(corners[1] - corners[0])), 1e-6)
    apart = np.linalg.norm(mesh[:, None] - mesh[None, list(MOUTH)], axis=2).min(1) / width
    return np.asarray(np.exp(-(apart**2) / (2 * AROUND_MOUTH**2)), np.float32)


def _laid_over(
    points: NDArray[np.float64], onto: NDArray[np.float64], used: Bools
) -> NDArray[np.float64]:
    """`points` (N,3) moved by the rigid motion and scale that fit those `used` to `onto` best."""
    here, there = points[used], onto[used]
    centre, target = here.mean(0), there.mean(0)
    left, scale, right = np.linalg.svd((there - target).T @ (here - centre))
    sign = np.ones(3)
    sign[-1] = np.sign(np.linalg.det(left @ right))
    turn = left @ (sign[:, None] * right)
    size = float((scale * sign).sum() / max(((here - centre) ** 2).sum(), 1e-9))
    return np.asarray((points - centre) @ (size * turn).T + target)
