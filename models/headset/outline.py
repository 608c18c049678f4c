"""From HeadsetNet's coarse soft mask to an outline that follows the picture's edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.headset.head_crop import HeadCrop

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]

SMOOTHNESS = 0.01  # variance of the picture's colours (0..1) that counts as an edge
NOTHING = 0.01  # not filtered where the soft mask is nowhere above it: no outline is found there
SPECK = 0.04  # of the largest part of the outline: smaller parts are noise


@dataclass(frozen=True)
class Drawing:
    """How a soft mask becomes an outline; all were chosen on val clips."""

    level: float  # probability from which a pixel belongs to it
    # Side of the crop at which is filtered, at most: a face that fills the frame costs no more.
    most_px: int = 320
    radius_share: float = 0.0104  # of the crop's side: how far away edges are looked for


# Below half: a headset's anti-aliased rim belongs to it.
COARSE_HEADSET = Drawing(level=0.375)


def outline_in_frame(
    mask: Float32Array, crop: HeadCrop, image: ImageU8, drawing: Drawing = COARSE_HEADSET
) -> MaskU8:
    """A soft mask (M,M) of a crop, drawn to the edges of its frame (H,W,3): (H,W) 0 or 1.

    Guided filter (He, Sun and Tang 2013), the frame being the guide; without islands.
    """
    found = np.zeros(image.shape[:2], np.uint8)
    area = crop.box_in_frame(image.shape)
    part = image[area]
    if not part.size:
        return found
    height, width = part.shape[:2]
    scale = min(1.0, drawing.most_px / crop.side_px)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    soft = _placed(without_specks(mask, drawing.level), crop, area, size)
    guide = part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    radius = max(1, round(drawing.radius_share * scale * crop.side_px))
    sharp = _filtered(soft, np.asarray(guide, np.uint8), radius)
    if scale < 1:
        sharp = np.asarray(cv2.resize(sharp, (width, height)), np.float32)
    found[area] = sharp >= drawing.level
    return found


def _placed(
    mask: Float32Array, crop: HeadCrop, area: tuple[slice, slice], size: tuple[int, int]
) -> Float32Array:
    """A mask (M,M) of a crop in an area of the frame, seen at a size (width, height)."""
    matrix = crop.frame_from_pixels(len(mask))
    rows, columns = area
    zoom = np.array([size[0] / (columns.stop - columns.start), size[1] / (rows.stop - rows.start)])
    matrix[:, 2] += 0.5 - np.array([columns.start, rows.start])
    matrix *= zoom[:, None]
    matrix[:, 2] -= 0.5
    return np.asarray(cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR), np.float32)


def _filtered(soft: Float32Array, guide: ImageU8, radius: int) -> Float32Array:
    """Where there is something of the mask (h,w), guided by a picture (h,w,3)."""
    sharp = np.zeros_like(soft)
    part = _around(soft, radius)
    if sharp[part].size:
        colours = guide[part].astype(np.float32) / 255
        sharp[part] = cv2.ximgproc.guidedFilter(colours, soft[part], radius, SMOOTHNESS)
    return sharp


def _around(mask: Float32Array, radius: int) -> tuple[slice, slice]:
    """Rows and columns of what is not nothing, and the filter's reach beyond them."""
    left, top, width, height = cv2.boundingRect((mask > NOTHING).astype(np.uint8))
    reach = 4 * radius + 1 if width else 0  # two box filters of this radius, one after the other
    rows = slice(max(top - reach, 0), top + height + reach)
    return rows, slice(max(left - reach, 0), left + width + reach)


def without_specks(mask: Float32Array, level: float) -> Float32Array:
    """The soft mask without parts, from a level on, far smaller than the largest."""
    whole = (mask >= level).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(whole, connectivity=8)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    small = areas < SPECK * areas.max()
    small[0] = False
    return np.where(small[labels], np.float32(0), mask)
