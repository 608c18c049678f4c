"""Discs over eyes, nose and mouth, as pictures are made anonymous with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.face.mesh import LEFT_EYE, LIPS_INNER_UPPER, NOSE_TIP, RIGHT_EYE
from training.masks.source import Float32Array, MaskU8

RADIUS = (0.16, 0.30)  # of the eye span, one for the whole clip
CENTRES = (
    (RIGHT_EYE.inner_corner, RIGHT_EYE.outer_corner),
    (LEFT_EYE.inner_corner, LEFT_EYE.outer_corner),
    (NOSE_TIP,),
    (LIPS_INNER_UPPER[0], LIPS_INNER_UPPER[-1]),
)
SHIFT = 3  # fractional bits of cv2's coordinates


@dataclass(frozen=True)
class PrivacyDiscs:
    """Four discs per clip, moving with eyes, nose and mouth."""

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        share = random.uniform(*RADIUS)
        masks = np.zeros((len(meshes), size_px, size_px), np.uint8)
        for mask, mesh in zip(masks, meshes[..., :2], strict=True):
            span = np.linalg.norm(mesh[LEFT_EYE.outer_corner] - mesh[RIGHT_EYE.outer_corner])
            radius = max(1, round(float(span) * share * (1 << SHIFT)))
            for points in CENTRES:
                x, y = np.rint(mesh[list(points)].mean(axis=0) * (1 << SHIFT)).astype(int)
                cv2.circle(mask, (int(x), int(y)), radius, (1,), -1, cv2.LINE_8, SHIFT)
        return masks
