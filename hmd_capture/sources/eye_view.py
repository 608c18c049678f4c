"""How one eye lies in its camera's image: which part of it, turned and flipped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from hmd_capture.sources.device import MIN_SIDE_PX, BadPicture
from streaming.errors import UserError
from streaming.records import ImageU8

Flip = Literal["none", "horizontal", "vertical", "both"]
_FLIP_CODES = {"horizontal": 1, "vertical": 0, "both": -1}
_QUARTERS = {
    90.0: cv2.ROTATE_90_CLOCKWISE,
    180.0: cv2.ROTATE_180,
    270.0: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
Half = Literal["", "left", "right"]


@dataclass(frozen=True)
class EyeCameraSettings:
    """`[hmd_capture.right]` and `[hmd_capture.left]`: one eye's camera. See `sources.address`."""

    source: str = ""  # such as mjpeg:http://192.168.1.20; empty = none, or the simulated headset
    rotation_deg: float = 0.0  # clockwise
    flip: Flip = "none"
    region: str = ""  # "x,y,width,height" in px of the camera's image; empty = all of it


@dataclass(frozen=True)
class EyeView:
    """Half, region, rotation and flip, applied in this order."""

    half: Half = ""  # of an image that carries both eyes side by side
    region: tuple[int, int, int, int] | None = None  # x, y, width, height in px
    rotation_deg: float = 0.0  # clockwise
    flip: Flip = "none"

    def apply(self, image: ImageU8) -> ImageU8:
        """Cut, turn and flip an (H,W) grey image; raises `BadPicture` if the region is not in it.

        A rotation that is no multiple of 90° keeps the size and repeats the border.
        """
        image = self._cut(image)
        turn = self.rotation_deg % 360
        if turn in _QUARTERS:
            image = np.asarray(cv2.rotate(image, _QUARTERS[turn]), np.uint8)
        elif turn:
            image = _turned(image, turn)
        if self.flip != "none":
            image = np.asarray(cv2.flip(image, _FLIP_CODES[self.flip]), np.uint8)
        return np.ascontiguousarray(image)

    def _cut(self, image: ImageU8) -> ImageU8:
        if self.half:
            middle = image.shape[1] // 2
            image = image[:, :middle] if self.half == "left" else image[:, middle:]
        if self.region is not None:
            x, y, width, height = self.region
            if x + width > image.shape[1] or y + height > image.shape[0]:
                size = f"{image.shape[1]}×{image.shape[0]}"
                raise BadPicture("region", f"the region {self.region} is not inside {size}")
            image = image[y : y + height, x : x + width]
        if min(image.shape) < MIN_SIDE_PX:
            raise BadPicture("size", f"an eye of {image.shape[1]}×{image.shape[0]}")
        return image


def make_view(settings: EyeCameraSettings, half: Half = "") -> EyeView:
    """Read one eye's settings; raises `UserError` for a region or flip that makes no sense."""
    if settings.flip not in ("none", *_FLIP_CODES):
        raise UserError(f"{settings.flip!r} is no flip.", "Use none, horizontal, vertical or both.")
    return EyeView(half, _region(settings.region), settings.rotation_deg, settings.flip)


def _region(text: str) -> tuple[int, int, int, int] | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})", text.replace(" ", ""))
    x, y, width, height = (int(number) for number in match.groups()) if match else (0, 0, 0, 0)
    if min(width, height) < MIN_SIDE_PX:
        raise UserError(
            f"{text!r} is no region of an eye image.",
            f'Write it as "x,y,width,height" in px, at least {MIN_SIDE_PX} wide and high.',
        )
    return x, y, width, height


def _turned(image: ImageU8, clockwise_deg: float) -> ImageU8:
    height, width = image.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, -clockwise_deg, 1.0)
    turned = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)
