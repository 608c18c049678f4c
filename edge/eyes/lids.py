"""Moving the mesh's lids and irises to what the eye cameras saw, when the headset hides them."""

from __future__ import annotations

import numpy as np

from edge.eyes.fusion import EyePair
from edge.eyes.measures import EYE_WIDTH_PER_RADIUS, aperture, mesh_iris, mesh_lids
from models.face_mesh import EYES, EyePoints
from streaming.records import Float32Array

# A closed lid's gap as a share of the open one's: the mesh never closes an eye entirely.
CLOSED_SHARE = 0.25
MIN_APERTURE = 0.02


class LidMover:
    """Knows the wearer's open eyes from the reference mesh."""

    def __init__(self, reference_mesh: Float32Array) -> None:
        """`reference_mesh` (478,3) shows the wearer with open eyes."""
        self._open = [aperture(mesh_lids(reference_mesh, eye)) for eye in EYES]

    def move(self, mesh: Float32Array, eyes: EyePair) -> Float32Array:
        """A copy of the mesh (478,3) px whose lids and irises follow the eyes; open if unseen."""
        moved = mesh.copy()
        for points, opened, state in zip(EYES, self._open, eyes, strict=True):
            openness = 1.0 if state is None else state.openness
            gaze = np.zeros(2, np.float32) if state is None else state.gaze
            _move_lids(moved, points, opened * (CLOSED_SHARE + (1 - CLOSED_SHARE) * openness))
            _move_iris(moved, points, gaze)
        return moved


def _move_lids(mesh: Float32Array, eye: EyePoints, wanted: float) -> None:
    """Open or close the upper lid over the lower one, which hardly moves."""
    upper, lower = list(eye.upper_lid[1:-1]), list(eye.lower_lid[1:-1])
    present = max(aperture(mesh_lids(mesh, eye)), MIN_APERTURE)
    mesh[upper, :2] = mesh[lower, :2] + (mesh[upper, :2] - mesh[lower, :2]) * (wanted / present)


def _move_iris(mesh: Float32Array, eye: EyePoints, gaze: Float32Array) -> None:
    """Put the iris where an eyeball turned by `gaze` shows it."""
    corners = mesh[[eye.upper_lid[0], eye.upper_lid[-1]], :2]
    along = corners[1] - corners[0]
    down = np.array([-along[1], along[0]], np.float32)
    yaw, pitch = np.sin(gaze) / EYE_WIDTH_PER_RADIUS
    target = corners.mean(axis=0) + yaw * along - pitch * down
    points = [eye.iris_centre, *eye.iris_ring]
    mesh[points, :2] += target - mesh_iris(mesh, eye)
