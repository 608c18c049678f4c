"""Pictures for a camera of fixed size: a frame that fits into it, or a card with words."""

from __future__ import annotations

import cv2
import numpy as np

from streaming.records import ImageU8

BARS = 16  # grey level beside a frame of another shape
GROUND, INK = 70, 225  # grey levels of a card: plain, and no brighter than a face
FONT = cv2.FONT_HERSHEY_DUPLEX


def fitted(image: ImageU8, width: int, height: int, mirror: bool = False) -> ImageU8:
    """Scale (H,W,3) BGR or (H,W) grey uint8 into (height,width,3) BGR, bars where it falls short.

    Nothing is cut off and nothing stretched; `mirror` swaps left and right.
    """
    colour = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    scale = min(width / colour.shape[1], height / colour.shape[0])
    size = (
        min(width, max(1, round(colour.shape[1] * scale))),
        min(height, max(1, round(colour.shape[0] * scale))),
    )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(colour, size, interpolation=method) if scale != 1 else colour
    if mirror:
        small = cv2.flip(small, 1)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas = np.full((height, width, 3), BARS, np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


def card(text: str, width: int, height: int) -> ImageU8:
    """A plain grey picture (height,width,3) with one line of ASCII text in its middle."""
    canvas = np.full((height, width, 3), GROUND, np.uint8)
    thickness = max(1, round(height / 240))
    (wide, tall), _ = cv2.getTextSize(text, FONT, 1.0, thickness)
    scale = min(height / 11 / tall, 0.8 * width / wide)
    (wide, tall), _ = cv2.getTextSize(text, FONT, scale, thickness)
    origin = ((width - wide) // 2, (height + tall) // 2)
    cv2.putText(canvas, text, origin, FONT, scale, (INK, INK, INK), thickness, cv2.LINE_AA)
    return canvas
