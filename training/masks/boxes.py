"""Square holes: at rest for a whole clip, or moving on their own.

The side is that of the published box masks: U(0.375, 0.5) of the crop's shorter side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.masks.source import Float32Array, MaskU8

SIDE = (0.375, 0.5)  # of the crop's side
# Of the crop's side and per frame: as the published moving strokes, which start at up to 10 px of
# 180 and change their speed by up to 5 px a frame, but slow enough to stay a while on the face.
LARGEST_SPEED = 10 / 180
LARGEST_ACCELERATION = 1 / 180

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StaticBox:
    """One square per clip, anywhere in the crop."""

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        side, corner = _square(random)
        return _squares(np.repeat(corner[None], len(meshes), axis=0), side, size_px)


@dataclass(frozen=True)
class MovingBox:
    """One square per clip that wanders and rebounds from the crop's border."""

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        side, corner = _square(random)
        velocity = random.uniform(-LARGEST_SPEED, LARGEST_SPEED, 2)
        corners = []
        for _ in range(len(meshes)):
            corners.append(corner)
            change = random.uniform(-LARGEST_ACCELERATION, LARGEST_ACCELERATION, 2)
            velocity = np.clip(velocity + change, -LARGEST_SPEED, LARGEST_SPEED)
            corner, velocity = _rebounded(corner + velocity, velocity, 1 - side)
        return _squares(np.stack(corners), side, size_px)


def _square(random: np.random.Generator) -> tuple[float, Floats]:
    """Side and left upper corner (x, y), shares of the crop's side."""
    side = random.uniform(*SIDE)
    return side, random.uniform(0, 1 - side, 2)


def _rebounded(corner: Floats, velocity: Floats, farthest: float) -> tuple[Floats, Floats]:
    inside = np.clip(corner, 0, farthest)
    return 2 * inside - corner, np.where(corner == inside, velocity, -velocity)


def _squares(corners: Floats, side: float, size_px: int) -> MaskU8:
    side_px = round(side * size_px)
    firsts = np.clip(np.rint(corners * size_px).astype(int), 0, size_px - side_px)
    masks = np.zeros((len(corners), size_px, size_px), np.uint8)
    for mask, (x, y) in zip(masks, firsts, strict=True):
        mask[y : y + side_px, x : x + side_px] = 1
    return masks
