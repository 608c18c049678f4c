"""Putting the filled crop back into the camera's frame.

Three regions, measured from the headset's mask outwards: inside the mask and a safety margin only
the fill is used, so that no headset pixel (nor its anti-aliased, compressed rim) is blended in;
then a feather ramp from the fill to the camera, over known pixels only; beyond it the camera's
pixels are untouched. Everything happens in the bounding box of these regions.

Where the headset sticks out of the crop, on a turned head say, nothing is known of what it hides:
there the surroundings are continued as a membrane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import membrane
from models.detail import Detail
from models.face.alignment import cut_box, cut_crop, upright_box
from streaming.records import Float32Array, ImageU8

MaskU8 = NDArray[np.uint8]

# In crop pixels, at least so many frame pixels: the rim of a headset in a compressed webcam video
# bleeds about two pixels, and a crop pixel averages over `side / size` frame pixels.
MARGIN_CROP_PX = 1.0
MIN_MARGIN_PX = 2
FEATHER_CROP_PX = 0.75
MIN_FEATHER_PX = 1


@dataclass(frozen=True)
class Overhang:
    """Hidden pixels outside the crop, in a box of the frame with a known rim."""

    rows: slice
    columns: slice
    hidden: NDArray[np.bool_]  # (h,w)


@dataclass(frozen=True)
class Hole:
    """What will be filled of one frame, and how it is blended."""

    frame_from_crop: Float32Array  # (2,3) upright
    crop_hidden: MaskU8  # (S,S) 1 = to be filled: mask and safety margin
    top: int  # of `weight` in the frame
    left: int
    weight: MaskU8  # (h,w) share of the fill: 255 = fill alone, 0 = camera alone
    overhang: Overhang | None = None


def open_hole(mask: MaskU8, frame_from_crop: Float32Array, size_px: int) -> Hole:
    """Grow the mask by margin and ramp, in the frame and in the crop.

    Args:
        mask: (H,W) uint8, 1 = hidden by the headset.
        frame_from_crop: (2,3) upright crop px -> frame px.
        size_px: side of the crop.
    """
    left, top, side = upright_box(frame_from_crop, size_px)
    scale = side / size_px
    margin = max(MIN_MARGIN_PX, math.ceil(MARGIN_CROP_PX * scale))
    feather = max(MIN_FEATHER_PX, round(FEATHER_CROP_PX * scale))
    boxed = _dilate(cut_box(mask, left, top, side), margin)
    # A crop pixel that touches the grown mask at all belongs to the hole.
    shrunk = cut_crop(boxed * np.uint8(255), _whole(side, size_px), size_px)
    crop_hidden = (shrunk > 0).astype(np.uint8)
    rows, columns = _inside(mask.shape, left, top, side)
    inside = boxed[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    y0, x0, part = _bounded(inside, 2 * feather)
    return Hole(
        frame_from_crop,
        crop_hidden,
        rows.start + y0,
        columns.start + x0,
        _weights(part, feather),
        _overhang(mask, rows, columns, margin),
    )


def composite(frame: ImageU8, filled: ImageU8, hole: Hole, detail: Detail | None = None) -> ImageU8:
    """A copy of the frame (H,W,3) with the filled crop (S,S,3) blended into the hole.

    With `detail`, a crop that is larger in the frame than S px gets the stored views' own detail.
    """
    result = frame.copy()
    height, width = hole.weight.shape
    if height and width:
        _fill(result, filled, hole, detail)
    if hole.overhang is not None:
        _continue_into(result, hole.overhang)
    return result


def _fill(result: ImageU8, filled: ImageU8, hole: Hole, detail: Detail | None) -> None:
    height, width = hole.weight.shape
    left, top, side = upright_box(hole.frame_from_crop, filled.shape[0])
    y0, x0 = hole.top - top, hole.left - left
    window = slice(y0, y0 + height), slice(x0, x0 + width)
    if detail is not None and detail.is_finer and side > filled.shape[0]:
        fill = detail.enlarged(filled, side, window)
    else:
        method = cv2.INTER_LINEAR if side >= filled.shape[0] else cv2.INTER_AREA
        enlarged = np.asarray(cv2.resize(filled, (side, side), interpolation=method), np.uint8)
        fill = enlarged[window]
    target = result[hole.top : hole.top + height, hole.left : hole.left + width]
    target[:] = _blend(target, fill, hole.weight)


def _overhang(mask: MaskU8, rows: slice, columns: slice, margin: int) -> Overhang | None:
    """What the grown mask hides outside the crop's rows and columns; None = nothing."""
    outside = _dilate(mask, margin)
    outside[rows, columns] = 0
    if not outside.any():
        return None
    left, top, width, height = cv2.boundingRect(outside)
    rim = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
    return Overhang(*rim, outside[rim] > 0)


def _continue_into(result: ImageU8, overhang: Overhang) -> None:
    """Continue the surroundings, filled crop included, over the overhang; the rest stays."""
    part = result[overhang.rows, overhang.columns]
    known = ~overhang.hidden
    if known.any():
        continued = membrane.extend(part.astype(np.float32), known)
        part[overhang.hidden] = np.clip(continued + 0.5, 0, 255).astype(np.uint8)[overhang.hidden]
    else:
        part[:] = 0  # nothing of the frame is known here: black rather than headset


def hidden_in_frame(hole: Hole, shape: tuple[int, ...]) -> MaskU8:
    """(H,W) 1 = not the camera's own pixel in the composite."""
    hidden = np.zeros(shape[:2], np.uint8)
    height, width = hole.weight.shape
    hidden[hole.top : hole.top + height, hole.left : hole.left + width] = hole.weight > 0
    if hole.overhang is not None:
        hidden[hole.overhang.rows, hole.overhang.columns] |= hole.overhang.hidden
    return hidden


def _weights(grown: MaskU8, feather: int) -> MaskU8:
    if grown.size == 0:
        return grown
    # Box blur of the mask grown by its radius: exactly 255 over the mask, 0 from two radii on.
    full = _dilate(grown, feather) * np.uint8(255)
    weight = cv2.blur(full, (2 * feather + 1,) * 2, borderType=cv2.BORDER_REPLICATE)
    weight[grown > 0] = 255
    return np.asarray(weight, np.uint8)


def _blend(camera: NDArray[np.uint8], fill: NDArray[np.uint8], weight: MaskU8) -> ImageU8:
    # Integer arithmetic: weight 255 gives the fill and 0 the camera, to the bit.
    share = np.asarray(cv2.merge([weight, weight, weight]), np.uint8)
    mixed = _product(fill, share)
    mixed += _product(camera, np.bitwise_not(share))
    mixed += np.uint16(127)
    mixed += (mixed >> np.uint16(8)) + np.uint16(1)  # with the shift: division by 255, exact here
    return (mixed >> np.uint16(8)).astype(np.uint8)


def _product(one: ImageU8, other: ImageU8) -> NDArray[np.uint16]:
    return np.asarray(cv2.multiply(one, other, dtype=cv2.CV_16U), np.uint16)


def _dilate(mask: NDArray[np.uint8], radius: int) -> MaskU8:
    kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
    return cv2.dilate(mask, kernel).astype(np.uint8, copy=False)


def _whole(side: int, size_px: int) -> Float32Array:
    scale = side / size_px
    shift = 0.5 * scale - 0.5
    return np.array([[scale, 0, shift], [0, scale, shift]], np.float32)


def _inside(shape: tuple[int, ...], left: int, top: int, side: int) -> tuple[slice, slice]:
    rows = slice(min(max(top, 0), shape[0]), max(0, min(top + side, shape[0])))
    columns = slice(min(max(left, 0), shape[1]), max(0, min(left + side, shape[1])))
    return rows, columns


def _bounded(mask: MaskU8, border: int) -> tuple[int, int, MaskU8]:
    """Cut to the set pixels and a border: (top, left, part)."""
    if mask.size == 0 or not mask.any():
        return 0, 0, np.zeros((0, 0), np.uint8)
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    top, left = max(0, int(rows[0]) - border), max(0, int(columns[0]) - border)
    bottom, right = int(rows[-1]) + 1 + border, int(columns[-1]) + 1 + border
    return top, left, mask[top:bottom, left:right]
