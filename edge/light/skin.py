"""Light and colour of a face's skin, in regions of its mesh that show skin.

Colours are CIELAB (D65, of sRGB); the typical colour of a region is that of the median of its
pixels, which a hair or a highlight does not move.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.covers.contract import REGIONS
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from models.face.mesh import Line
from streaming.records import Float32Array, ImageU8

# Each the convex hull of mesh points. Jaws and chin stay in view under a headset, the forehead
# behind a face mask. A beard does no harm: regions are compared with the same wearer's own.
SKIN: dict[str, Line] = {
    "forehead": REGIONS["forehead"],
    "right cheek": REGIONS["right cheek"],
    "left cheek": REGIONS["left cheek"],
    "right jaw": (214, 202, 204, 211, 170, 169, 135),
    "left jaw": (434, 422, 424, 431, 395, 394, 364),
    "chin": REGIONS["chin"],
}
NAMES = tuple(SKIN)
RIGHT, LEFT = (1, 3), (2, 4)  # the wearer's own sides, places in `NAMES`
BARE = (0, 1, 2)  # skin on everybody: no beard grows there

CROP_PX = 128  # regions then have 30 to 300 pixels, enough for a median
LEAST_SEEN = 0.35  # of a region: the rest may be hidden
RIM_PX = 4  # of the crop, around a headset: its rim and the shadow right under it are no skin
CLIPPED = 250  # at least two colours beyond it: the pixel tells nothing
DARKEST = 4.0  # added to grey values before dividing: noise in the dark is no light


@dataclass(frozen=True, eq=False)
class SkinLook:
    """The skin in one picture; rows in the order of `NAMES`, NaN where a region is not seen."""

    lab: Float32Array  # (R,3) typical L* 0..100, a*, b*
    spread: Float32Array  # (R,3) standard deviations of L*, a*, b* over the region's pixels
    grey: Float32Array  # (R,) typical grey value, 0..255
    clipped: float  # share of the seen skin that is over-exposed, 0..1


def look_at_skin(
    image: ImageU8, mesh: Float32Array, hidden: NDArray[np.uint8] | None = None
) -> SkinLook:
    """Measure the skin of a face whose (478,3) mesh is given in px of an (H,W,3) BGR image.

    `hidden` (H,W) is 1 where something lies over the face, None: nowhere. Takes about 1 ms.
    """
    frame_from_crop = crop_from_mesh(mesh, CROP_PX)
    crop = cut_crop(image, frame_from_crop, CROP_PX)
    points = np.round(mesh_to_crop(mesh, frame_from_crop)[:, :2]).astype(np.int32)
    is_inside = ((mesh[:, :2] >= 0) & (mesh[:, :2] < image.shape[1::-1])).all(axis=1)
    seen = np.ones((CROP_PX, CROP_PX), np.uint8)
    if hidden is not None:
        around = np.ones((2 * RIM_PX + 1,) * 2, np.uint8)
        seen[cv2.dilate(cut_crop(hidden, frame_from_crop, CROP_PX), around) > 0] = 0
    lab = np.full((len(NAMES), 3), np.nan, np.float32)
    spread, grey = lab.copy(), lab[:, 0].copy()
    skin = [crop[:0, 0]]
    for row, line in enumerate(SKIN.values()):
        pixels = _pixels(crop, points[list(line)], seen)
        if pixels is not None and is_inside[list(line)].all():
            lab[row], grey[row] = typical_lab(pixels), typical_grey(pixels)
            spread[row] = _lab(pixels).std(axis=0)
            skin.append(pixels)
    return SkinLook(lab, spread, grey, over_exposed(np.concatenate(skin)))


def typical_lab(pixels: ImageU8) -> Float32Array:
    """(3,) L* 0..100, a*, b* of the typical colour of (N,3) BGR pixels, N > 0."""
    return np.asarray(_lab(np.median(pixels, axis=0)[None])[0], np.float32)


def typical_grey(pixels: ImageU8) -> float:
    """Median grey value, 0..255, of (N,3) BGR pixels, N > 0."""
    return float(np.median(cv2.cvtColor(pixels[None], cv2.COLOR_BGR2GRAY)))


def over_exposed(pixels: ImageU8) -> float:
    """Share of (N,3) BGR pixels of which at least two colours are at the end of their range."""
    return float((np.sort(pixels, axis=1)[:, 1] >= CLIPPED).mean()) if len(pixels) else 0.0


def stops_between(one: float, other: float) -> float:
    """Stops by which the grey value `one` is brighter than `other`: 1 = twice its value.

    Grey values as they are stored, gamma included: about two stops of a camera's exposure.
    """
    return float(np.log2((one + DARKEST) / (other + DARKEST)))


def _pixels(crop: ImageU8, corners: NDArray[np.int32], seen: NDArray[np.uint8]) -> ImageU8 | None:
    """(N,3) pixels of a region's hull that are seen; None if they are too few of it."""
    shape = np.zeros(seen.shape, np.uint8)
    cv2.fillConvexPoly(shape, cv2.convexHull(corners), (1,))
    region = shape > 0
    shown = region & (seen > 0)
    count = int(np.count_nonzero(shown))
    if count == 0 or count < LEAST_SEEN * np.count_nonzero(region):
        return None
    return np.asarray(crop[shown], np.uint8)


def _lab(pixels: NDArray[np.uint8] | NDArray[np.float64]) -> Float32Array:
    """(N,3) BGR 0..255 -> L*, a*, b*."""
    values = (pixels / 255).astype(np.float32)
    return np.asarray(cv2.cvtColor(values[None], cv2.COLOR_BGR2LAB)[0], np.float32)
