"""Coverings: which pixels of a training crop are hidden."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.headset.box import headset_box

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


def headset_mask(mesh: Float32Array, size_px: int, shape: HeadsetShape = PROTOCOL_SHAPE) -> MaskU8:
    """Hole (S,S) uint8, 1 = hidden, for a mesh (478,>=2) in px of the crop.

    The box of `models.headset.box`; straps run on from its sides to the crop's border.
    """
    box = headset_box(mesh, shape.width_ratio, shape.height_ratio, shape.lift_ratio)
    boxes = [box]
    if shape.strap_ratio:
        height = box.height * shape.strap_ratio
        boxes.append(dataclasses.replace(box, width=4.0 * size_px, height=height))
    mask = np.zeros((size_px, size_px), np.uint8)
    for each in boxes:
        # Cut to whole pixels, not rounded: the published masks are made so.
        cv2.fillConvexPoly(mask, each.corners().astype(np.int32), (1,))
    return mask
