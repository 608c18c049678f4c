"""What tells views of one face apart: the pose of its upper half, and the state of each eye.

The mouth does not count: a view is picked for what the headset hides. Distances between plain
shapes hold across recordings; whitened by the registration's prior they are 0.1 dB better within
one recording and more than 1 dB worse in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.bank.upper_face import UPPER_FACE
from models.face.mesh import EYES
from models.registration import face_shape, load_prior

Float32Array = NDArray[np.float32]

_LIDS = [[point for lid in eye.lids for point in lid] for eye in EYES]
_ALL_LIDS = _LIDS[0] + _LIDS[1]
_POSE = sorted(set(UPPER_FACE) - set(_LIDS[0]) - set(_LIDS[1]))


@dataclass(frozen=True)
class Look:
    """Pose and eye state of one mesh; only differences between two meshes mean something."""

    change: Float32Array  # (P,) along the registration prior's directions of pose change
    still: Float32Array  # (P,) the same with the lids left out
    pose: Float32Array  # (Q,) shape of the upper face without the lids, in eye spans
    lids: Float32Array  # (2,36) shape of the right and left eye's lids, in eye spans


def look_of(mesh: Float32Array) -> Look:
    """Measure a mesh (>=468,3) px; position, size and roll do not count."""
    shape = face_shape(mesh)
    basis, lid_basis = _bases()
    change = basis @ shape.reshape(-1)
    still = change - lid_basis @ shape[_ALL_LIDS].reshape(-1)
    lids = np.stack([(shape[points, :2] - shape[points, :2].mean(0)).ravel() for points in _LIDS])
    return Look(change, still, shape[_POSE].ravel(), lids)


def pose_distances(look: Look, others: Float32Array) -> Float32Array:
    """Squared distance of `look` from each row of `others` (K,Q), (K,) in eye spans²."""
    return np.asarray(((others - look.pose) ** 2).sum(1), np.float32)


def lid_distances(look: Look, others: Float32Array) -> Float32Array:
    """Squared lid distances (2,K) in eye spans² from `others` (K,2,36)."""
    return np.asarray(((others - look.lids) ** 2).sum(2).T, np.float32)


@lru_cache(maxsize=1)
def _bases() -> tuple[Float32Array, Float32Array]:
    """The prior's directions of pose change, and the part of them that moves the lids."""
    basis = load_prior().pose_basis
    by_point = basis.reshape(len(basis), -1, 3)
    return basis, np.ascontiguousarray(by_point[:, _ALL_LIDS]).reshape(len(basis), -1)
