"""What cameras do to a picture: light, colour, blur, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]


def camera_faults(image: ImageU8, random: np.random.Generator) -> ImageU8:
    """An (S,S,3) uint8 BGR crop as another camera in another room might show it."""
    image = _relit(image, random)
    if random.random() < 0.25:
        image = _blurred(image, random)
    if random.random() < 0.2:
        image = _coarser(image, random)
    if random.random() < 0.5:
        noise = random.standard_normal(image.shape, np.float32) * random.uniform(1, 9)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if random.random() < 0.4:
        _, packed = cv2.imencode(
            ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(25, 92))]
        )
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


def _relit(image: ImageU8, random: np.random.Generator) -> ImageU8:
    """Exposure, contrast, white balance, and light that comes from one side."""
    values = np.arange(256, dtype=np.float32) / 255
    gain = np.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.07, 3))
    if random.random() < 0.14:  # coloured stage light
        gain = gain * random.uniform(0.25, 1.4, 3)
    gamma = np.exp(random.normal(0, 0.25))
    lift = random.normal(0, 0.04)
    table = (values[:, None] ** gamma * gain + lift).clip(0, 1) * 255
    image = np.asarray(cv2.LUT(image, table.astype(np.uint8)[:, None]), np.uint8)
    if random.random() < 0.08:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    if random.random() < 0.25:
        side = image.shape[1]
        one, other = random.uniform(0.45, 1.3, 2)
        ramp = np.linspace(one, other, num=side, dtype=np.float32)
        light = np.broadcast_to(ramp, (side, side)) if random.random() < 0.6 else ramp[:, None]
        image = np.clip(image * np.asarray(light)[..., None], 0, 255).astype(np.uint8)
    return image


def _blurred(image: ImageU8, random: np.random.Generator) -> ImageU8:
    if random.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.8)), np.uint8)
    length = int(random.integers(3, 10))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0, np.pi)
    half = (length - 1) / 2
    reach = half * np.array([np.cos(angle), np.sin(angle)])
    start, end = (np.round(half + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, start, end, (1.0,))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _coarser(image: ImageU8, random: np.random.Generator) -> ImageU8:
    """Fewer pixels than the crop has: a face far from the camera."""
    side = image.shape[0]
    less = int(side * random.uniform(0.3, 0.8))
    small = cv2.resize(image, (less, less), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side)), np.uint8)
