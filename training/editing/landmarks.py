"""Landmarks moved where nothing is seen: taken from somebody else, or at random.

Wu, Singh, Kapoor: STN-GAN, WACV 2020, show that a network which follows landmarks fills another
plausible face when they are. What the camera sees keeps its place: points move the more the farther
they lie under the covering.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models import registration
from models.face.mesh import IRIS_START

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
MaskU8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

FADE_SPANS = 0.25  # eye spans from the nearest visible point within which a shift grows to full
SMOOTH_SPANS = 0.35  # over which random shifts go together: brow, eye, nose move as a whole


def swapped(meshes: Float32Array, hidden: MaskU8, others: Float32Array) -> Float32Array:
    """`meshes` (T,478,3) px with the hidden points as `others` (T',478,3) have them.

    `hidden` is (T,S,S), 1 = hidden. The other head is turned and sized as this one; where it
    has fewer frames, it is played back and forth.
    """
    turns = np.concatenate([np.arange(len(others)), np.arange(len(others) - 2, 0, -1)])
    return np.stack(
        [
            _moved(mesh, mask, _towards(mesh, others[turns[index % len(turns)]]))
            for index, (mesh, mask) in enumerate(zip(meshes, hidden, strict=True))
        ]
    )


def perturbed(meshes: Float32Array, hidden: MaskU8, sigma: float, seed: int = 0) -> Float32Array:
    """`meshes` (T,478,3) px with the hidden points moved by about `sigma` eye spans each way.

    Neighbours move together; the move is the same in all frames, in the axes of the face.
    """
    shape = registration.face_shape(meshes[0])[:, :2].astype(np.float64)
    distance2 = ((shape[:, None] - shape[None]) ** 2).sum(-1)
    together = np.exp(-distance2 / (2 * SMOOTH_SPANS**2)) + 1e-6 * np.eye(len(shape))
    noise = np.random.default_rng(seed).standard_normal((len(shape), 2))
    shift = sigma * np.linalg.cholesky(together) @ noise
    return np.stack([_moved(mesh, mask, shift) for mesh, mask in zip(meshes, hidden, strict=True)])


def _towards(mesh: Float32Array, other: Float32Array) -> Float64Array:
    """Shift (468,2) in eye spans from a face to another one, turned and sized as it is.

    Umeyama, PAMI 1991, in space: another pose of the other head must not show as another face.
    """
    own = registration.face_shape(mesh).astype(np.float64)
    shape = registration.face_shape(other).astype(np.float64)
    centred, wanted = shape - shape.mean(0), own - own.mean(0)
    left, stretch, right = np.linalg.svd(wanted.T @ centred)
    proper = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turn = (left * proper) @ right
    scale = (stretch * proper).sum() / (centred**2).sum()
    laid = scale * centred @ turn.T + own.mean(0)
    shift: Float64Array = (laid - own)[:, :2]
    return shift


def _moved(mesh: Float32Array, hidden: MaskU8, shift: Float64Array) -> Float32Array:
    """`mesh` (478,3) with hidden points moved by `shift` (468,2) eye spans, fading at the rim."""
    shape = registration.face_shape(mesh)[:, :2]
    seen = registration.visible_points(mesh, hidden)
    share = np.ones(len(shape))
    if seen.any():
        nearest2 = ((shape[:, None] - shape[None, seen]) ** 2).sum(-1).min(1)
        share = np.clip(np.sqrt(nearest2) / FADE_SPANS, 0, 1)
    moved = mesh.copy()
    px = registration.shift_px((share[:, None] * shift).astype(np.float32), mesh)
    moved[:IRIS_START, :2] += px
    # Irises go with the nearest point of their eye.
    for index in range(IRIS_START, len(mesh)):
        near = ((mesh[:IRIS_START, :2] - mesh[index, :2]) ** 2).sum(1).argmin()
        moved[index, :2] += px[near]
    return moved
