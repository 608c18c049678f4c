"""Moving the mesh's lids and irises to what the eye cameras saw, when the headset hides them."""

from __future__ import annotations

import numpy as np

from edge.eyes.fusion import EyePair
from edge.eyes.lid_shape import POINTS
from edge.eyes.measures import aperture, iris_offset, mesh_iris, mesh_lids
from edge.profile.eyes import SINE_PER_EYE_WIDTH
from edge.records import EyeState
from models.face.mesh import EYES, LEFT_EYE, EyePoints
from streaming.records import Float32Array

MIN_APERTURE = 0.02
# The mesh never closes an eye entirely. Moved by so much more, no iris is left; chosen on the val
# clips (+0.1 dB around the eyes in frames with blinks).
FIRMNESS = 1.15
# Where each point goes when the right eye closes, per unit of the gap that closes: along the eye
# (towards the image's right) and down. The fissure turns as it closes: the outer corner sinks.
# Median over 114 people of the training clips, both eyes made one by mirroring.
UPPER_WAY = np.array(
    [
        *((-0.26, 0.36), (-0.15, 0.57), (-0.02, 0.74), (0.10, 1.02), (0.15, 1.17)),
        *((0.11, 1.01), (0.06, 0.58), (-0.03, 0.11), (-0.07, -0.13)),
    ],
    np.float32,
)
LOWER_WAY = np.array(
    [
        *((-0.26, 0.36), (-0.23, 0.18), (-0.15, 0.05), (-0.06, -0.04), (0.02, -0.15)),
        *((0.04, -0.19), (0.02, -0.21), (-0.04, -0.20), (-0.07, -0.13)),
    ],
    np.float32,
)
RING_WAY = np.array(
    [
        *((-0.15, 0.14), (-0.06, 0.18), (-0.02, 0.19), (-0.02, 0.24), (-0.05, 0.21), (-0.07, 0.10)),
        *((-0.04, -0.07), (-0.04, -0.19), (-0.02, -0.21), (0.03, -0.20), (0.04, -0.17)),
        *((0.01, -0.13), (-0.04, -0.04), (-0.16, 0.04), (-0.23, 0.15), (-0.24, 0.18)),
    ],
    np.float32,
)
# The mesh's points around the lids, in the order of RING_WAY.
RINGS = (
    (247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25, 130),
    (467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255, 359),
)


class LidMover:
    """Knows the wearer's open eyes from the reference mesh."""

    def __init__(self, reference_mesh: Float32Array) -> None:
        """`reference_mesh` (478,3) shows the wearer with open eyes, looking ahead."""
        self._open = [aperture(mesh_lids(reference_mesh, eye)) for eye in EYES]
        self._rest = [
            iris_offset(mesh_lids(reference_mesh, eye), mesh_iris(reference_mesh, eye))
            for eye in EYES
        ]

    def move(self, mesh: Float32Array, eyes: EyePair) -> Float32Array:
        """A copy of the mesh (478,3) px whose lids and irises follow the eyes."""
        moved = mesh.copy()
        for index, eye in enumerate(EYES):
            _open_lids(moved, eye, self._open[index])
            _move_iris(moved, eye, self._rest[index], eyes[index].gaze)
            _close_lids(moved, index, self._open[index], eyes[index])
        return moved


def _open_lids(mesh: Float32Array, eye: EyePoints, wanted: float) -> None:
    """Open the upper lid as far over the lower one as in the reference."""
    upper, lower = list(eye.upper_lid[1:-1]), list(eye.lower_lid[1:-1])
    present = max(aperture(mesh_lids(mesh, eye)), MIN_APERTURE)
    mesh[upper, :2] = mesh[lower, :2] + (mesh[upper, :2] - mesh[lower, :2]) * (wanted / present)


def _close_lids(mesh: Float32Array, index: int, opened: float, state: EyeState) -> None:
    """Move lids, corners and the skin around them as far as each has closed."""
    eye = EYES[index]
    closing = state.closing
    if closing is None:
        closing = np.full((2, POINTS), 1 - state.openness, np.float32)
    mean = float(closing[0, 2:-2].mean())
    along, down = _axes(mesh, eye)
    for lid, line, closed in zip(_ways(eye), eye.lids, closing, strict=True):
        share = closed.copy()
        share[[0, -1]] = mean  # both lids share their corners
        way = lid * (FIRMNESS * opened * share)[:, None]
        inner = slice(1, None) if line is eye.lower_lid else slice(None)
        stop = slice(None, -1) if line is eye.lower_lid else slice(None)
        points = np.array(line)[inner][stop]
        mesh[points, :2] += (way[:, :1] * along + way[:, 1:] * down)[inner][stop]
    way = _sided(RING_WAY, eye) * (FIRMNESS * opened * mean)
    mesh[list(RINGS[index]), :2] += way[:, :1] * along + way[:, 1:] * down


def _ways(eye: EyePoints) -> tuple[Float32Array, Float32Array]:
    upper, lower = _sided(UPPER_WAY, eye), _sided(LOWER_WAY, eye)
    return (upper[::-1], lower[::-1]) if eye is LEFT_EYE else (upper, lower)


def _sided(way: Float32Array, eye: EyePoints) -> Float32Array:
    """The way of the right eye's points as that of this eye's."""
    return way * np.array([-1, 1], np.float32) if eye is LEFT_EYE else way


def _axes(mesh: Float32Array, eye: EyePoints) -> tuple[Float32Array, Float32Array]:
    """One eye width along the eye and across it (down), (2,) px each."""
    along = mesh[eye.upper_lid[-1], :2] - mesh[eye.upper_lid[0], :2]
    return along, np.array([-along[1], along[0]], np.float32)


def _move_iris(mesh: Float32Array, eye: EyePoints, rest: Float32Array, gaze: Float32Array) -> None:
    """Put the iris where an eyeball turned by `gaze` shows it."""
    along, down = _axes(mesh, eye)
    middle = mesh[[eye.upper_lid[0], eye.upper_lid[-1]], :2].mean(axis=0)
    yaw, pitch = np.sin(gaze) / SINE_PER_EYE_WIDTH
    target = middle + (rest[0] + yaw) * along + (rest[1] - pitch) * down
    mesh[[eye.iris_centre, *eye.iris_ring], :2] += target - mesh_iris(mesh, eye)
