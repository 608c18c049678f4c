"""Proportions of the lower face, which a headset leaves in view, from its mesh.

Lengths in space are compared, so that a turned head has the same ones; logarithms of ratios, so
that size drops out. Lips and chin move with speech: only what does so little is measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.face.mesh import CHIN, NOSE_BASE

Float32Array = NDArray[np.float32]

# Pairs of mesh points (the wearer's right, left, or upper, lower).
LENGTHS = {
    "nose base": (NOSE_BASE[2], NOSE_BASE[6]),
    "nostrils": (NOSE_BASE[3], NOSE_BASE[5]),
    "mouth": (61, 291),
    "upper lip": (NOSE_BASE[4], 0),
    "lower lip to chin": (17, CHIN),
    "chin": (176, 400),
    "lower jaw": (136, 365),
    "jaw": (172, 397),
    "upper jaw": (132, 361),
}
FEATURES = len(LENGTHS)


def lower_face_shape(mesh: Float32Array) -> Float32Array:
    """(9,) logarithms of `LENGTHS` over their geometric mean, of a mesh (478,3) in px."""
    ends = np.array(list(LENGTHS.values()))
    lengths = np.linalg.norm(mesh[ends[:, 0]] - mesh[ends[:, 1]], axis=1)
    logarithms = np.log(np.maximum(lengths, 1e-6))
    return np.asarray(logarithms - logarithms.mean(), np.float32)
