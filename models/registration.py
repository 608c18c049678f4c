"""What the mesh warp leaves: small shifts and tints, seen around the hole, inferred inside it.

Shift (optical flow) and tint (colour difference) between the frame and the warped reference are
read at the mesh's visible points. A linear Gaussian model of both over the whole face, learnt from
bare faces, gives the hidden points their most probable values. What is expected before looking
depends on how pose and expression differ from the reference, because meshes err in ways that
depend on the pose; what is seen then corrects it (probabilistic PCA with missing values: Tipping
and Bishop 1999, section 4; the posterior mean is the ridge solution below).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.face.raster import MESH_POINTS
from models.memory.fields import FieldMemory
from models.statistics import Shape, read_arrays
from models.warp import look_up

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

PRIOR_FILE = Path(__file__).parent / "weights" / "registration.npz"
# Chosen on the val clips. Shifts are in eye spans, turned with the eyes; tints in 8-bit steps.
NOISE = {"shift": 0.7 / 61**2, "tint": 300.0}  # variance of what is seen at one point
LARGEST_SHIFT = 4 / 61
LARGEST_TINT = 60.0
REPEATED_NOISE = 2.0  # part of an error is the same in the next frame: told twice, not known twice
CLEARANCE_RATIO = 0.016  # of the crop's side: nearer to the hole, flow patches see its edge
TINT_BLUR_RATIO = 0.02


@dataclass(frozen=True)
class FieldPrior:
    """Gaussian over a field on the face: its mean by pose, directions, the variance along each."""

    by_pose: Float32Array  # (P,468*C) mean field per unit of each direction of pose change
    basis: Float32Array  # (K,468*C)
    variance: Float32Array  # (K,)
    noise_variance: float

    def infer(
        self,
        values: Float32Array,
        seen: Bools,
        pose: Float32Array,
        memory: FieldMemory | None = None,
    ) -> Float32Array:
        """Most probable field (468,C), given `values` (468,C) where `seen` (468,) is True.

        `pose` (P,) is the change of pose and expression, see `RegistrationPrior.pose_change`.
        With a `memory` what earlier frames have told counts too.
        """
        channels = values.shape[1]
        expected = (pose @ self.by_pose).reshape(-1, channels)
        observed = self.basis[:, np.repeat(seen, channels)]
        memory = memory or FieldMemory(0.0)
        noise_variance = self.noise_variance * (REPEATED_NOISE if memory.persistence else 1.0)
        mean, precision = memory.expected(self.variance)
        left = (values - expected)[seen].reshape(-1)
        target = precision @ mean + observed @ left / noise_variance
        precision = precision + observed @ observed.T / noise_variance
        weights = np.linalg.solve(precision, target)
        memory.keep(weights, precision)
        correction = (weights @ self.basis).reshape(-1, channels)
        return np.asarray(expected + correction, np.float32)


@dataclass(frozen=True)
class RegistrationPrior:
    """What is known of shifts and tints before a frame is seen."""

    pose_basis: Float32Array  # (P,468*3)
    shift: FieldPrior  # 2 channels
    tint: FieldPrior  # 3 channels, BGR

    def pose_change(self, mesh: Float32Array, reference_mesh: Float32Array) -> Float32Array:
        """How pose and expression differ between two meshes (>=468,3), (P,) float32."""
        change = face_shape(mesh) - face_shape(reference_mesh)
        return np.asarray(self.pose_basis @ change.reshape(-1), np.float32)


@lru_cache(maxsize=2)
def load_prior(path: Path = PRIOR_FILE) -> RegistrationPrior:
    """Read a prior written by `unvisor fit-registration`; WeightsError when it is unusable."""
    shapes: dict[str, Shape] = {"pose_basis": (None, 3 * MESH_POINTS)}
    for name in NOISE:
        shapes |= {f"{name}_by_pose": (None, None), f"{name}_basis": (None, None)}
        shapes |= {f"{name}_variance": (None,)}
    stored = read_arrays(path, **shapes)
    shift, tint = (
        FieldPrior(
            stored[f"{name}_by_pose"],
            stored[f"{name}_basis"],
            stored[f"{name}_variance"],
            noise_variance,
        )
        for name, noise_variance in NOISE.items()
    )
    return RegistrationPrior(stored["pose_basis"], shift, tint)


def face_shape(mesh: Float32Array) -> Float32Array:
    """Mesh (>=468,3) px without position, size and roll: (468,3) in eye spans."""
    span, turn = _eye_frame(mesh)
    middle = (mesh[RIGHT_EYE.outer_corner, :2] + mesh[LEFT_EYE.outer_corner, :2]) / 2
    flat = (mesh[:MESH_POINTS, :2] - middle) @ turn.T
    shape = np.concatenate([flat, mesh[:MESH_POINTS, 2:3]], 1) / span
    return np.asarray(shape, np.float32)


def visible_points(mesh: Float32Array, hidden: MaskU8) -> Bools:
    """Mesh points (468,) whose surroundings are known and inside the crop."""
    size = len(hidden)
    margin = 2 * round(CLEARANCE_RATIO * size) + 1
    near = cv2.dilate(hidden, np.ones((margin, margin), np.uint8))
    column, row = np.rint(mesh[:MESH_POINTS, :2]).astype(np.intp).T
    inside = (np.minimum(row, column) >= 1) & (np.maximum(row, column) < size - 1)
    clipped = near[np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)]
    return np.asarray(inside & (clipped == 0))


def observed_shift(
    crop: ImageU8, warped: ImageU8, hidden: MaskU8, mesh: Float32Array
) -> Float32Array:
    """Shift at each mesh point (468,2), in eye spans along and across the line of the eyes.

    It is the step from a pixel of `crop` to where `warped` shows the same.
    """
    size = len(crop)
    seen = cv2.copyTo(warped, hidden, crop.copy())
    grey = (cv2.cvtColor(seen, cv2.COLOR_BGR2GRAY), cv2.cvtColor(warped, cv2.COLOR_BGR2GRAY))
    flow = _flow_estimator().calc(*grey, np.zeros((size, size, 2), np.float32))
    found = at_points(cv2.blur(flow, (3, 3)), mesh)
    span, turn = _eye_frame(mesh)
    shift = np.clip(found @ turn.T / span, -LARGEST_SHIFT, LARGEST_SHIFT)
    return np.asarray(shift, np.float32)


def shift_px(shift: Float32Array, mesh: Float32Array) -> Float32Array:
    """A shift (N,2) in eye spans as pixels of the mesh's picture."""
    span, turn = _eye_frame(mesh)
    return np.asarray(shift @ turn * span, np.float32)


def shift_spans(step_px: Float32Array, mesh: Float32Array) -> Float32Array:
    """Inverse of `shift_px`."""
    span, turn = _eye_frame(mesh)
    return np.asarray(step_px @ turn.T / span, np.float32)


def observed_tint(
    crop: ImageU8, warped: ImageU8, hidden: MaskU8, mesh: Float32Array
) -> Float32Array:
    """Colour of `crop` minus that of `warped` around each mesh point, (468,3) BGR, 8-bit steps."""
    known = 1 - hidden
    difference = cv2.subtract(crop, warped, mask=known, dtype=cv2.CV_32F)  # 0 where hidden
    sigma = TINT_BLUR_RATIO * len(crop)
    weight = np.maximum(cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma), 1e-3)
    local = cv2.GaussianBlur(difference, (0, 0), sigma) / weight[..., None]
    tint = np.clip(at_points(local, mesh), -LARGEST_TINT, LARGEST_TINT)
    return np.asarray(tint, np.float32)


def at_points(field: NDArray[np.generic], mesh: Float32Array) -> Float32Array:
    """What `field` (S,S,C) holds at the points (468,) of a mesh px, (468,C) float32."""
    positions = np.ascontiguousarray(mesh[None, :MESH_POINTS, :2], np.float32)
    found: Float32Array = look_up(np.asarray(field, np.float32), positions)[0]
    return found


def _eye_frame(mesh: Float32Array) -> tuple[float, Float32Array]:
    """Distance of the outer eye corners in px, and the turn (2,2) into the line of the eyes."""
    across = mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2]
    span = max(float(np.linalg.norm(across)), 1e-3)
    cosine, sine = across / span
    return span, np.array([[cosine, sine], [-sine, cosine]], np.float32)


def _flow_estimator() -> cv2.DISOpticalFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016); made per call: it is not reentrant."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    estimator.setFinestScale(1)  # half resolution: the shift is smooth, and it takes a quarter
    estimator.setGradientDescentIterations(8)
    estimator.setVariationalRefinementIterations(0)
    estimator.setPatchSize(8)
    estimator.setPatchStride(4)
    return estimator
