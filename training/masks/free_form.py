"""Free-form holes: strokes that move and bend, after Chang et al.: Learnable Gated Temporal Shift
Module, BMVC 2019. Their presets are written for pictures 180 px high; so are the ones below.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.masks.source import Float32Array, MaskU8

PRESET_PX = 180.0
SUBPIXEL_BITS = 4  # of OpenCV's line drawing

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stroke:
    """How a kind of stroke is drawn and how it moves; px of a crop of `PRESET_PX`, per frame."""

    vertices: tuple[int, int]  # fewest, most
    width: tuple[float, float]
    strokes: int  # of this kind in one clip
    head_speed: float  # largest step from vertex to vertex
    head_acceleration: tuple[float, float]  # largest change of that step, and of its angle in rad
    jitter: float  # largest move of a vertex between frames
    first_speed: float  # largest, of the whole stroke
    jittered_share: float = 0.5  # of the vertices
    acceleration: tuple[float, float] = (5.0, 0.5)  # of the whole stroke: speed, angle in rad


CURVE = Stroke(
    vertices=(10, 30),
    width=(3, 10),
    strokes=5,
    head_speed=20,
    head_acceleration=(15, 0.5),
    jitter=3,
    first_speed=6,
)
OBJECT = Stroke(
    vertices=(5, 30),
    width=(20, 50),
    strokes=1,
    head_speed=20,
    head_acceleration=(10, 1.5),
    jitter=10,
    first_speed=10,
)


@dataclass(frozen=True)
class FreeForm:
    """Thin curves or one thick blob per clip, at even odds."""

    kinds: tuple[Stroke, ...] = (CURVE, OBJECT)

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        kind = self.kinds[random.integers(len(self.kinds))]
        masks = np.zeros((len(meshes), size_px, size_px), np.uint8)
        for _ in range(kind.strokes):
            _draw(masks, kind, random)
        return masks


def _draw(masks: MaskU8, kind: Stroke, random: np.random.Generator) -> None:
    """Draw one stroke into all frames (T,S,S), in place."""
    scale = masks.shape[1] / PRESET_PX
    points = _walk(kind, random)
    width_px = max(1, round(random.uniform(*kind.width) * scale))
    speed = random.uniform(0, kind.first_speed)
    angle = random.uniform(0, 2 * np.pi)
    for mask in masks:
        fixed = np.rint(points * scale * 2**SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(mask, [fixed], False, (1,), width_px, cv2.LINE_8, SUBPIXEL_BITS)
        fastest = kind.first_speed + kind.acceleration[0]
        speed = float(np.clip(speed + _around_zero(random, kind.acceleration[0]), 0, fastest))
        angle = _inward(angle + _around_zero(random, kind.acceleration[1]), points.mean(0))
        moved = points + speed * _direction(angle)
        jittered = random.random((len(points), 1)) < kind.jittered_share
        jitter = random.uniform(-kind.jitter, kind.jitter, points.shape)
        points = moved + np.where(jittered, jitter, 0)


def _walk(kind: Stroke, random: np.random.Generator) -> Floats:
    """Vertices (V,2) of a stroke: a walk whose step and direction change little by little."""
    count = int(random.integers(kind.vertices[0], kind.vertices[1] + 1))
    points = [random.uniform(0, PRESET_PX, 2)]
    step, angle = random.uniform(0, kind.head_speed), random.uniform(0, 2 * np.pi)
    for _ in range(count - 1):
        step = np.clip(step + _around_zero(random, kind.head_acceleration[0]), 0, kind.head_speed)
        angle += _around_zero(random, kind.head_acceleration[1])
        points.append(_mirrored(points[-1] + step * _direction(angle)))
    return np.stack(points)


def _inward(angle: float, centre: Floats) -> float:
    """`angle`, or the way back for a stroke whose middle has left the picture: it must hide."""
    if np.array_equal(centre, np.clip(centre, 0, PRESET_PX)):
        return angle
    x, y = PRESET_PX / 2 - centre
    return float(np.arctan2(y, x))


def _direction(angle: float) -> Floats:
    return np.array([np.cos(angle), np.sin(angle)])


def _mirrored(point: Floats) -> Floats:
    """A point that left the picture, folded back at the border."""
    return np.asarray(PRESET_PX - np.abs(PRESET_PX - np.abs(point)), np.float64)


def _around_zero(random: np.random.Generator, largest: float) -> float:
    return float(random.uniform(-largest, largest))
