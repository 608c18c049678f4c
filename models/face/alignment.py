"""Where the crop sits: an upright square around the head, framed as in the training clips.

Crops are upright boxes with whole-pixel corners, so that cutting one out and putting one back are
plain resizes. `frame_from_crop` maps pixel centres:
frame = corner + (crop + 0.5) * side / size - 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import FACE_OVAL

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

# Medians over the 159 training clips (256 px crops): the network expects heads of this size at
# this place. Spread between clips (5..95 %): width .46-.57, height .59-.67, centre ±.06.
OVAL_WIDTH = 0.51  # width of the face oval / side of the crop
OVAL_HEIGHT = 0.62
OVAL_CENTRE = (0.50, 0.53)  # centre of the oval's bounding box / side of the crop
# The clips were cut with a slowly moving box; inside a clip the oval's height varies by 2 %.
CENTRE_SECONDS = 0.6  # time constant of the box's centre
SIDE_SECONDS = 1.5  # and of its side: the jaw opens and closes, the head does not grow
MAX_LAG = 0.12  # of the side: a head that moves faster than that pulls the box along
OTHER_HEAD = 2.0  # so much larger or smaller at once: another head, or one found anew
MIN_SIDE_PX = 8


@dataclass(frozen=True)
class HeadBox:
    """Square around the head, before rounding to whole pixels."""

    centre: Float32Array  # (2,) px of the frame
    side_px: float


def head_box(mesh: Float32Array) -> HeadBox:
    """The square that puts the face oval where the training clips have it.

    Args:
        mesh: (478,3) or (468,3) px of the frame.
    """
    oval = mesh[list(FACE_OVAL), :2]
    low, high = oval.min(axis=0), oval.max(axis=0)
    # Turning the head narrows the oval, opening the mouth lengthens it: the mean is steadier.
    side = float((high[0] - low[0]) / OVAL_WIDTH + (high[1] - low[1]) / OVAL_HEIGHT) / 2
    offset = (0.5 - np.asarray(OVAL_CENTRE, np.float32)) * side
    return HeadBox(((low + high) / 2 + offset).astype(np.float32), max(side, MIN_SIDE_PX))


def frame_from_box(box: HeadBox, size_px: int) -> Float32Array:
    """(2,3) affine crop px -> frame px of the box rounded to whole frame pixels."""
    side = max(MIN_SIDE_PX, round(box.side_px))
    left, top = (round(float(c) - side / 2) for c in box.centre)
    scale = side / size_px
    shift = 0.5 * scale - 0.5
    return np.array([[scale, 0, left + shift], [0, scale, top + shift]], np.float32)


def crop_from_mesh(mesh: Float32Array, size_px: int) -> Float32Array:
    """Unsmoothed `frame_from_crop` (2,3) of one mesh (478,3) px of the frame."""
    return frame_from_box(head_box(mesh), size_px)


def upright_box(frame_from_crop: Float32Array, size_px: int) -> tuple[int, int, int]:
    """(left, top, side) in frame px of an upright crop."""
    scale = float(frame_from_crop[0, 0])
    shift = 0.5 * scale - 0.5
    left, top = (round(float(c) - shift) for c in frame_from_crop[:, 2])
    return left, top, round(scale * size_px)


def cut_crop(image: ImageU8, frame_from_crop: Float32Array, size_px: int) -> ImageU8:
    """Cut the crop out of a (H,W) or (H,W,3) frame; beyond the frame its border is repeated."""
    left, top, side = upright_box(frame_from_crop, size_px)
    part = cut_box(image, left, top, side)
    method = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    return cv2.resize(part, (size_px, size_px), interpolation=method).astype(np.uint8, copy=False)


def cut_box(image: ImageU8, left: int, top: int, side: int) -> ImageU8:
    """The (side,side[,3]) box of a frame, a view where it lies inside; its border is repeated."""
    height, width = image.shape[:2]
    if left >= 0 and top >= 0 and left + side <= width and top + side <= height:
        return image[top : top + side, left : left + side]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return np.asarray(image[rows[:, None], columns[None]], np.uint8)


def mesh_to_crop(mesh: Float32Array, frame_from_crop: Float32Array) -> Float32Array:
    """Mesh (N,3) px of the frame -> px of an upright crop; z shrinks with x and y."""
    scale = float(frame_from_crop[0, 0])
    moved = mesh / scale
    moved[:, :2] -= frame_from_crop[:, 2] / scale
    return moved.astype(np.float32, copy=False)


class BoxSmoother:
    """Lets the box follow the head slowly, as in the training clips."""

    def __init__(self) -> None:
        """Start without a box."""
        self._box: HeadBox | None = None
        self._time_ns = 0

    def reset(self) -> None:
        """Forget the box: the next one is taken as it is."""
        self._box = None

    def follow(self, wanted: HeadBox, time_ns: int) -> HeadBox:
        """Move towards the wanted box by as much as the elapsed time allows."""
        ratio = 1.0 if self._box is None else wanted.side_px / self._box.side_px
        if self._box is None or not 1 / OTHER_HEAD < ratio < OTHER_HEAD:
            self._box, self._time_ns = wanted, time_ns
            return wanted
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        side = _approach(self._box.side_px, wanted.side_px, seconds / SIDE_SECONDS)
        centre = _approach(self._box.centre, wanted.centre, seconds / CENTRE_SECONDS)
        lag = MAX_LAG * side
        centre = np.clip(centre, wanted.centre - lag, wanted.centre + lag).astype(np.float32)
        self._box, self._time_ns = HeadBox(centre, float(side)), time_ns
        return self._box


def _approach(old: float | Float32Array, new: float | Float32Array, times: float) -> Float32Array:
    return np.asarray(old + (new - old) * (1.0 - math.exp(-times)), np.float32)
