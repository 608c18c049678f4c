"""How the landmarks of one face differ between two frames, learnt from bare faces.

After the head's motion in the picture is taken out, what is left between a frame's mesh and the
wearer's reference lies near a space of few directions: turns of the head, brows, lids, jaw (active
shape models: Cootes et al., CVIU 1995, there between faces, here within one).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.face.mesh import LEFT_EYE, POINT_COUNT, RIGHT_EYE
from models.face.raster import MESH_POINTS
from models.statistics import read_arrays
from models.warp import moved, similarity

Float32Array = NDArray[np.float32]

PRIOR_FILE = Path(__file__).parents[1] / "weights" / "landmarks.npz"


@dataclass(frozen=True)
class LandmarkPrior:
    """Gaussian over the change of a face's landmarks, x and y of each, in eye spans."""

    basis: Float32Array  # (K,956) orthonormal directions
    variance: Float32Array  # (K,) along each
    left: float  # variance that the directions leave, mean over the points
    trembling: Float32Array  # (K,) variance by which a still face's mesh trembles along each


@lru_cache(maxsize=2)
def load_landmark_prior(path: Path = PRIOR_FILE) -> LandmarkPrior:
    """Read a prior written by `unvisor fit-landmarks`; WeightsError when it is unusable."""
    stored = read_arrays(
        path, basis=(None, 2 * POINT_COUNT), variance=(None,), left=(), trembling=(None,)
    )
    basis, variance, left, trembling = stored.values()
    return LandmarkPrior(basis, variance, float(left), trembling)


@dataclass(frozen=True)
class ReferenceFrame:
    """A reference mesh as the place where changes are told."""

    points: Float32Array  # (478,2) px
    span_px: float  # distance of the outer eye corners

    @classmethod
    def of(cls, reference_mesh: Float32Array) -> ReferenceFrame:
        """That of a mesh (478,3) px."""
        points = reference_mesh[:POINT_COUNT, :2].astype(np.float32)
        across = points[LEFT_EYE.outer_corner] - points[RIGHT_EYE.outer_corner]
        return cls(points, max(float(np.linalg.norm(across)), 1e-3))

    def motion(self, points: Float32Array) -> Float32Array:
        """Similarity (2,3) that takes `points` (478,2) px to the reference, over the whole face.

        Errors of single points hardly move it.
        """
        return similarity(points[:MESH_POINTS], self.points[:MESH_POINTS])

    def change(self, points: Float32Array, motion: Float32Array) -> Float32Array:
        """`points` (478,2) px, moved by `motion`, beside the reference: (956,) in eye spans."""
        return np.asarray((moved(points, motion) - self.points).ravel() / self.span_px, np.float32)

    def points_of(self, change: Float32Array, motion: Float32Array) -> Float32Array:
        """The way back: (478,2) px from a change (956,) and the motion of its frame."""
        there = change.reshape(-1, 2) * self.span_px + self.points - motion[:, 2]
        return np.asarray(there @ np.linalg.inv(motion[:, :2]).T, np.float32)
