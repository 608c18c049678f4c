"""A warped picture blended into a hole: what differs at the hole's border is continued inside."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models import membrane
from models.bank.layers import window_around
from models.memory.session import SessionMemory

ImageU8 = NDArray[np.uint8]
MaskU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

UNUSUAL = 10.0  # 8-bit steps beside the median difference around the hole
FADES = 1 / 32  # of the crop's side: over so far an unusual difference dies away


def blend(
    warped: ImageU8, crop: ImageU8, hidden: MaskU8, memory: SessionMemory | None = None
) -> ImageU8:
    """`warped` (S,S,3) with its difference to `crop` at the hole's border continued into the hole.

    `hidden` is (S,S), 1 = hidden. With the `memory` of a session what is continued is steadied.
    """
    if not (hidden == 0).any():
        return warped
    part = window_around(hidden)
    difference = crop[part].astype(np.float32) - warped[part]
    light, outlines = (np.zeros(crop.shape, np.float32) for _ in range(2))
    light[part], outlines[part] = _continued(difference, hidden[part], FADES * len(hidden))
    if memory is not None:
        light = memory.light.step(light, hidden)
    blended = warped.copy()
    corrected = warped[part] + light[part] + outlines[part]
    blended[part] = np.clip(corrected + 0.5, 0, 255).astype(np.uint8)
    return blended


def _continued(
    difference: Float32Array, hidden: MaskU8, fades_px: float
) -> tuple[Float32Array, Float32Array]:
    """`difference` (H,W,3) of a hole's surroundings continued into it: light, and outlines.

    Another light differs alike all around: it is continued to the other side. What differs by more
    is an outline that lies elsewhere, wall where the view has hair; it tells nothing of the inside
    and fades at once, so that no seam shows.
    """
    known = hidden == 0
    rim = cv2.dilate(hidden, np.ones((3, 3), np.uint8)) > hidden
    usual = np.median(difference[rim], axis=0) if rim.any() else np.zeros(3, np.float32)
    light = np.clip(difference, usual - UNUSUAL, usual + UNUSUAL).astype(np.float32)
    surface = membrane.Membrane(known)
    away = cv2.distanceTransform(hidden, cv2.DIST_L2, 3)[..., None]
    faded = surface.extend(difference - light) * np.exp(-away / fades_px)
    return surface.extend(light), np.asarray(faded, np.float32)
