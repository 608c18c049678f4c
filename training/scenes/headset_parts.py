"""Changes of a drawn headset's outline: what a few models lack of the variety of real ones.

Each takes a patch and gives another; the coverage stays exact, so that it can be the label.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from training.scenes.headset_designs import plastic

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

ROOM = 0.12  # of the patch's size that is laid around it, so that the outline may grow
BENDS = 4  # displacements along each side of the patch
SOFT_PX = (0.3, 1.1)  # standard deviation of an edge's blur, px of the frame
LEAST_PX = 16  # a patch smaller than that is left as it is


def redesigned(patch: Patch, shape: tuple[int, ...], random: np.random.Generator) -> Patch:
    """The patch with another outline, rims, parts at its sides and colours; cut to (H,W)."""
    if min(patch.alpha.shape) < LEAST_PX:
        return patch
    patch = _with_room(patch)
    if random.random() < 0.5:
        patch = bent(patch, random)
    if random.random() < 0.35:
        patch = recoloured_parts(patch, random)
    if random.random() < 0.35:
        patch = with_side_parts(patch, random)
    if random.random() < 0.45:
        patch = with_rim(patch, random)
    return _cut(patch, shape)


def bent(patch: Patch, random: np.random.Generator) -> Patch:
    """Stretched here, squeezed there, wider above or below."""
    height, width = patch.alpha.shape
    size = np.array([width, height], np.float32)
    coarse = random.normal(0, 0.022, (BENDS, BENDS, 2)).astype(np.float32) * size
    moved = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    taper = np.float32(random.normal(0, 0.06))
    across = columns - width / 2
    columns = columns + moved[..., 0] + taper * across * (2 * rows / height - 1)
    rows = rows + moved[..., 1]
    colour, alpha = (
        np.asarray(cv2.remap(layer, columns, rows, cv2.INTER_LINEAR), np.uint8)
        for layer in (patch.colour, patch.alpha)
    )
    return Patch(patch.left, patch.top, colour, alpha)


def softened(patch: Patch, shape: tuple[int, ...], random: np.random.Generator) -> Patch:
    """The patch out of focus, cut to (H,W): what it touches is seen less and reaches further."""
    if min(patch.alpha.shape) < LEAST_PX:
        return patch
    patch = _with_room(patch)
    blur = random.uniform(*SOFT_PX)
    colour, alpha = (
        np.asarray(cv2.GaussianBlur(layer, (0, 0), blur), np.uint8)
        for layer in (patch.colour, patch.alpha)
    )
    return _cut(
        _painted(Patch(patch.left, patch.top, colour, alpha), colour.astype(np.float32)), shape
    )


def recoloured_parts(patch: Patch, random: np.random.Generator) -> Patch:
    """Its dark parts in one colour and its light ones in another, shaded as before."""
    alpha = patch.alpha.astype(np.float32)[..., None] / 255
    grey = cv2.cvtColor(patch.colour, cv2.COLOR_BGR2GRAY).astype(np.float32)
    grey = grey / np.maximum(alpha[..., 0], 1 / 255)
    grey = np.asarray(cv2.blur(grey, (5, 5)), np.float32)  # whole parts, no speckles
    solid = grey[patch.alpha > 200]
    if solid.size < LEAST_PX:
        return patch
    limit = float(np.quantile(solid, random.uniform(0.15, 0.85)))
    is_light = np.asarray(grey > limit, np.float32)[..., None]
    colour = np.zeros((*patch.alpha.shape, 3), np.float32)
    for part, share in ((grey <= limit, 1 - is_light), (grey > limit, is_light)):
        inner = grey[part & (patch.alpha > 200)]
        level = float(inner.mean()) if inner.size else limit
        shade = (grey + 20) / (level + 20)
        colour += share * np.array(plastic(random)) * np.clip(shade, 0.3, 2.5)[..., None]
    return _painted(patch, np.asarray(np.minimum(colour, 255) * alpha, np.float32))


def with_side_parts(patch: Patch, random: np.random.Generator) -> Patch:
    """Hinges, speakers or arms at both sides of the body, before it or behind it."""
    height, width = patch.alpha.shape
    rows, columns = np.nonzero(patch.alpha > 127)
    if not len(rows):
        return patch
    left, right = np.quantile(columns, (0.02, 0.98))
    half = np.array([random.uniform(0.03, 0.12), random.uniform(0.06, 0.22)]) * (right - left)
    middle = float(np.mean(rows)) + random.normal(0, 0.06) * height
    inwards = random.uniform(-0.4, 0.8) * half[0]
    parts = np.zeros((height, width), np.uint8)
    tilt = float(random.normal(0, 12))
    for x, sign in ((left + inwards, 1.0), (right - inwards, -1.0)):
        if random.random() < 0.15:
            continue  # turned away
        if random.random() < 0.5:
            box = cv2.boxPoints(((x, middle), tuple(2 * half), sign * tilt))
            cv2.fillConvexPoly(parts, np.round(box * 8).astype(np.int32), (255.0,), cv2.LINE_AA, 3)
        else:
            place, axes = (round(x), round(middle)), [max(1, round(float(side))) for side in half]
            cv2.ellipse(parts, place, axes, sign * tilt, 0, 360, (255.0,), -1, cv2.LINE_AA)
    return _laid(patch, parts, _shaded(parts, random), is_over=bool(random.random() < 0.4))


def with_rim(patch: Patch, random: np.random.Generator) -> Patch:
    """A light seal or frame that shows all around, or on one side, of the body."""
    reach = max(1, round(patch.alpha.shape[1] * random.uniform(0.006, 0.05)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    grown = cv2.dilate(patch.alpha, kernel)
    kind = random.random()
    shift = np.zeros(2) if kind < 0.4 else np.array([0, reach])  # all around, or below
    if kind > 0.76:
        shift = random.normal(0, 0.5, 2) * reach
    matrix = np.column_stack([np.eye(2), shift])
    rim = np.asarray(cv2.warpAffine(grown, matrix, grown.shape[::-1]), np.uint8)
    return _laid(patch, rim, _shaded(rim, random), is_over=False)


def _shaded(part: ImageU8, random: np.random.Generator) -> Float32Array:
    """A colour for each pixel (h,w,3): plastic, lighter or darker towards one side."""
    above, below = random.uniform(0.6, 1.3, 2)
    ramp = np.linspace(above, below, part.shape[0])[:, None, None]
    shade = np.broadcast_to(np.array(plastic(random)) * ramp, (*part.shape, 3))
    return np.asarray(np.clip(shade, 0, 255), np.float32)


def _laid(patch: Patch, part: ImageU8, colour: Float32Array, *, is_over: bool) -> Patch:
    """A part (h,w) of a colour (h,w,3), over the patch or under it."""
    own = patch.alpha.astype(np.float32)[..., None] / 255
    added = part.astype(np.float32)[..., None] / 255
    if is_over:
        painted = np.asarray(patch.colour * (1 - added) + colour * added, np.float32)
    else:
        painted = np.asarray(patch.colour + colour * added * (1 - own), np.float32)
    alpha = 255 * (1 - (1 - own) * (1 - added))[..., 0]
    changed = Patch(patch.left, patch.top, patch.colour, np.asarray(alpha.round(), np.uint8))
    return _painted(changed, painted)


def _painted(patch: Patch, colour: Float32Array) -> Patch:
    limited = np.clip(colour, 0, patch.alpha[..., None])
    return Patch(patch.left, patch.top, limited.astype(np.uint8), patch.alpha)


def _with_room(patch: Patch) -> Patch:
    # What a frame's edge cuts off goes on beyond it; elsewhere a patch ends with nothing.
    height, width = patch.alpha.shape
    down, across = round(ROOM * height), round(ROOM * width)
    colour, alpha = (
        cv2.copyMakeBorder(layer, down, down, across, across, cv2.BORDER_REPLICATE)
        for layer in (patch.colour, patch.alpha)
    )
    left, top = patch.left - across, patch.top - down
    return Patch(left, top, np.asarray(colour, np.uint8), np.asarray(alpha, np.uint8))


def _cut(patch: Patch, shape: tuple[int, ...]) -> Patch:
    """What lies in a frame (H,W)."""
    height, width = patch.alpha.shape
    rows = slice(max(0, -patch.top), min(height, shape[0] - patch.top))
    columns = slice(max(0, -patch.left), min(width, shape[1] - patch.left))
    left, top = max(0, patch.left), max(0, patch.top)
    return Patch(left, top, patch.colour[rows, columns], patch.alpha[rows, columns])
