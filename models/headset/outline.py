"""From HeadsetNet's coarse soft mask to an outline that follows the picture's edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

# Chosen on the val clips with train headsets, together: intersection over union .971 -> .975.
RADIUS_PX = 2
SMOOTHNESS = 0.01  # variance of the picture's colours (0..1) that counts as an edge
LEVEL = 0.375  # below half: a headset's anti-aliased rim belongs to it
NOTHING = 0.01  # not filtered where the soft mask is nowhere above it: no outline is found there
SPECK = 0.04  # of the largest part of the outline: smaller parts are noise


def sharpened(mask: Float32Array, crop: ImageU8) -> Float32Array:
    """A soft mask (M,M) as (S,S), drawn to the edges of the crop (S,S,3) that it was read from.

    Guided filter (He, Sun and Tang 2013), the crop being the guide; without islands.
    """
    size = (crop.shape[1], crop.shape[0])
    coarse = without_specks(mask)
    enlarged = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), np.float32)
    sharp = np.zeros_like(enlarged)
    part = _around(enlarged)
    if sharp[part].size:
        guide = crop[part].astype(np.float32) / 255
        sharp[part] = cv2.ximgproc.guidedFilter(guide, enlarged[part], RADIUS_PX, SMOOTHNESS)
    return sharp


def _around(mask: Float32Array) -> tuple[slice, slice]:
    """Rows and columns of what is not nothing, and the filter's reach beyond them."""
    left, top, width, height = cv2.boundingRect((mask > NOTHING).astype(np.uint8))
    reach = 4 * RADIUS_PX + 1 if width else 0  # two box filters of this radius, one after the other
    rows = slice(max(top - reach, 0), top + height + reach)
    return rows, slice(max(left - reach, 0), left + width + reach)


def without_specks(mask: Float32Array) -> Float32Array:
    """The soft mask without parts far smaller than the largest."""
    whole = (mask >= LEVEL).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(whole, connectivity=8)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    small = areas < SPECK * areas.max()
    small[0] = False
    return np.where(small[labels], np.float32(0), mask)
