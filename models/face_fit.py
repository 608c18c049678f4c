"""The wearer's own face under the headset: what HeadsetNet gets wrong about this one person.

The network knows faces in general. How this face differs, where the brows sit, how long the nose
is, shows before the session: the reference picture has a mesh, and the network's reading of the
same picture, with a headset drawn over it, misses that mesh in a way that stays with the person.
The difference is kept in the head's own axes and added, turned with the head, to every reading.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.face.mesh import CHIN, JAW, LIP_LINES

Float32Array = NDArray[np.float32]

# How much of the difference is added: part of it is the pose of the one picture, not the person.
# Chosen on the val clips, with other headsets than the ones drawn for learning.
OWN_SHARE = 0.6
MOVING_WEIGHT = 0.1  # of mouth, chin and jaw in the fit of the head's axes: they move on their own


class WearerFit:
    """Knows the wearer's mesh, and how the network reads it."""

    def __init__(self, reference_mesh: Float32Array, readings: Sequence[Float32Array] = ()) -> None:
        """`reference_mesh` (478,3) shows the bare face; `readings` are the network's, same px."""
        centre = reference_mesh.mean(axis=0)
        scale = float(np.linalg.norm(reference_mesh - centre, axis=1).mean())
        shape = (reference_mesh - centre) / scale
        self._shape = np.concatenate([shape, np.ones((len(shape), 1))], axis=1)
        self._weight = np.ones(len(shape))
        self._weight[_moving_points()] = MOVING_WEIGHT
        self._difference = np.zeros_like(shape)
        if readings:
            missed = reference_mesh - np.mean(readings, axis=0)
            self._difference = OWN_SHARE * missed / scale

    def fitted(self, mesh: Float32Array, spread: Float32Array) -> Float32Array:
        """The reading (478,3) px moved to where this wearer's points are.

        `spread` (478,) is the expected error of each point, any unit.
        """
        weight = (self._weight / np.maximum(spread, 1e-6) ** 2)[:, None]
        normal = self._shape.T @ (weight * self._shape)
        normal += 1e-6 * np.trace(normal) * np.eye(4)  # a flat mesh has no depth to fit
        frame_from_shape = np.linalg.solve(normal, self._shape.T @ (weight * mesh))
        return np.asarray(mesh + self._difference @ frame_from_shape[:3], np.float32)


def _moving_points() -> NDArray[np.int64]:
    """Mesh indices of mouth, chin and jaw."""
    lips = {index for line in LIP_LINES for index in line}
    return np.array(sorted({*lips, *JAW[4:-4], CHIN}))
