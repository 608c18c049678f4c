"""What tells views of one face apart: pose with expression, and the state of each eye."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.face_mesh import EYES
from models.registration import face_shape, load_prior

Float32Array = NDArray[np.float32]

_LIDS = [[point for lid in eye.lids for point in lid] for eye in EYES]


@dataclass(frozen=True)
class Look:
    """Pose and eye state of one mesh; only differences between two meshes mean something."""

    whole: Float32Array  # (P,) pose and expression along the prior's directions of change
    pose: Float32Array  # (P,) the same without the lids
    lids: Float32Array  # (2,36) shape of the right and left eye's lids, in eye spans


def look_of(mesh: Float32Array) -> Look:
    """Measure a mesh (>=468,3) px; position, size and roll do not count."""
    shape = face_shape(mesh)
    pose_basis, lid_basis = _bases()
    whole = pose_basis @ shape.reshape(-1)
    lids = np.stack([(shape[points, :2] - shape[points, :2].mean(0)).ravel() for points in _LIDS])
    of_lids = lid_basis @ shape[_LIDS[0] + _LIDS[1]].reshape(-1)
    return Look(whole, np.asarray(whole - of_lids, np.float32), lids)


def pose_distances(look: Look, others: Float32Array) -> Float32Array:
    """Squared distance of `look` from each row of `others` (K,P), (K,) float32, without unit."""
    return np.asarray(((others - look.pose) ** 2).sum(1), np.float32)


def lid_distances(look: Look, others: Float32Array) -> Float32Array:
    """Squared lid distances (2,K) in eye spans² from `others` (K,2,36)."""
    return np.asarray(((others - look.lids) ** 2).sum(2).T, np.float32)


@lru_cache(maxsize=1)
def _bases() -> tuple[Float32Array, Float32Array]:
    """The prior's directions of pose change, and the part of them that moves the lids."""
    basis = load_prior().pose_basis
    by_point = basis.reshape(len(basis), -1, 3)
    lids = np.ascontiguousarray(by_point[:, _LIDS[0] + _LIDS[1]]).reshape(len(basis), -1)
    return basis, lids
