"""Fitting an eye camera's image into EyeNet's input, and its answers back. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.eyes.contract import SIZE_PX
from models.eyes.ellipse import ellipse_of, moved_moments

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class EyeReading:
    """What one eye image shows, in px of that image."""

    lids: Float32Array  # (2,9,2) upper then lower, from the image's left to its right
    pupil: Float32Array  # (5,) OpenCV ellipse
    iris: Float32Array  # (5,)
    blink: float  # 0 open … 1 closed
    confidence: float  # 0..1 that there is an eye


def input_from_image(width: int, height: int) -> FloatArray:
    """(2,3) affine map of pixel centres: the whole image in the middle of the input.

    The aspect is kept, up to rounding to whole px.
    """
    (wide, high), (left, top) = _place(width, height)
    across, down = wide / width, high / height
    return np.array(
        [[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]], np.float64
    )


def fitted(image: ImageU8) -> ImageU8:
    """(S,S) uint8: a grey (H,W) uint8 image as `input_from_image` maps it, its mean around it."""
    height, width = image.shape
    (wide, high), (left, top) = _place(width, height)
    how = cv2.INTER_AREA if wide < 0.75 * width else cv2.INTER_LINEAR
    small = cv2.resize(image, (wide, high), interpolation=how)
    canvas = np.full((SIZE_PX, SIZE_PX), round(cv2.mean(small)[0]), np.uint8)
    canvas[top : top + high, left : left + wide] = small
    return canvas


def _place(width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size (width, height) and upper left corner of the image in the input."""
    longer = max(width, height)
    wide, high = (max(1, round(size * SIZE_PX / longer)) for size in (width, height))
    return (wide, high), ((SIZE_PX - wide) // 2, (SIZE_PX - high) // 2)


def reading_of(
    said: tuple[Float32Array, Float32Array, Float32Array, Float32Array], width: int, height: int
) -> EyeReading:
    """Turn one image's lids, pupil, iris and verdicts, as the network says them, into px."""
    lids, pupil, iris, verdicts = said
    forth = input_from_image(width, height)
    back = cv2.invertAffineTransform(forth)
    image_from_share = np.array([[SIZE_PX, 0, -0.5], [0, SIZE_PX, -0.5], [0, 0, 1.0]], np.float64)
    image_from_share = back @ image_from_share
    points = lids.reshape(-1, 2) @ image_from_share[:, :2].T + image_from_share[:, 2]
    ellipses = [
        ellipse_of(moved_moments(ellipse.astype(np.float64), image_from_share))
        for ellipse in (pupil, iris)
    ]
    return EyeReading(
        lids=np.asarray(points.reshape(lids.shape), np.float32),
        pupil=ellipses[0],
        iris=ellipses[1],
        blink=float(np.clip(verdicts[0], 0, 1)),
        confidence=float(np.clip(verdicts[1], 0, 1)),
    )
