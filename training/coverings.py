"""Coverings: which pixels of a training crop are hidden."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face_mesh import LEFT_EYE, LEFT_SIDE, RIGHT_EYE, RIGHT_SIDE

MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class HeadsetShape:
    """Proportions of a headset-shaped hole; the defaults are those of the `hmd` protocols."""

    width_ratio: float = 1.0
    height_ratio: float = 1.0
    lift_ratio: float = 0.0  # of the eye span, towards the forehead
    strap_ratio: float = 0.0  # strap height over headset height; 0 = none


def random_shape(random: np.random.Generator, jitter_share: float) -> HeadsetShape:
    """The protocol's shape, or with probability `jitter_share` one of other proportions."""
    if random.random() >= jitter_share:
        return HeadsetShape()
    return HeadsetShape(
        width_ratio=random.uniform(0.95, 1.25),
        height_ratio=random.uniform(0.9, 1.35),
        lift_ratio=random.uniform(-0.05, 0.2),
        strap_ratio=random.choice([0.0, random.uniform(0.2, 0.5)]),
    )


PROTOCOL_SHAPE = HeadsetShape()
# The protocols' box in units of the distance between the outer eye corners, except the width,
# which follows the face where that is wider.
BOX_HEIGHT, BOX_LEAST_WIDTH, BOX_DROP = 1.05, 1.6, 0.05
BOX_WIDTH_OF_FACE = 1.05


def headset_mask(mesh: Float32Array, size_px: int, shape: HeadsetShape = PROTOCOL_SHAPE) -> MaskU8:
    """Hole (S,S) uint8, 1 = hidden, for a mesh (478,>=2) in px of the crop.

    A box turned with the eyes, from above the brows to mid-nose and a little wider than the face;
    straps run on from its sides to the crop's border.
    """
    right, left = mesh[RIGHT_EYE.outer_corner, :2], mesh[LEFT_EYE.outer_corner, :2]
    across = left - right
    eye_span = max(float(np.linalg.norm(across)), 1e-6)
    down = np.array([-across[1], across[0]]) / eye_span
    face_width = float(np.linalg.norm(mesh[LEFT_SIDE, :2] - mesh[RIGHT_SIDE, :2]))
    centre = (right + left) / 2 + (BOX_DROP - shape.lift_ratio) * eye_span * down
    width = max(BOX_WIDTH_OF_FACE * face_width, BOX_LEAST_WIDTH * eye_span) * shape.width_ratio
    height = BOX_HEIGHT * eye_span * shape.height_ratio
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    mask = np.zeros((size_px, size_px), np.uint8)
    boxes = [(width, height)]
    if shape.strap_ratio:
        boxes.append((4.0 * size_px, height * shape.strap_ratio))
    for box in boxes:
        corners = cv2.boxPoints(((float(centre[0]), float(centre[1])), box, angle))
        # Cut to whole pixels, not rounded: the published masks are made so.
        cv2.fillConvexPoly(mask, corners.astype(np.int32), (1,))
    return mask
