"""What eye cameras do to an image: exposure, lamps, lenses, lashes, glasses, noise.

Each function takes and gives a float32 image in 0..255; `lids` are (2,9,2) px of it, if known.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


def seen_by_another_camera(
    image: ImageU8, lids: Float32Array | None, random: np.random.Generator
) -> ImageU8:
    """The same (H,W) eye as another infrared camera might show it."""
    seen: Float32Array = image.astype(np.float32)
    if lids is not None and random.random() < 0.35:
        seen = _lashes(seen, lids, random)
    seen = _lit(seen, random)
    if random.random() < 0.35:
        seen = _glints(seen, random)
    if random.random() < 0.1:
        seen = _glasses(seen, random)
    if random.random() < 0.06:
        seen = _something_before_it(seen, random)
    seen = _blurred(seen, random)
    if random.random() < 0.7:
        strength = np.float32(random.uniform(0.5, 8.0))
        seen = seen + strength * random.standard_normal(seen.shape, np.float32)
    result = np.clip(seen, 0, 255).astype(np.uint8)
    if random.random() < 0.15:
        quality = int(random.integers(20, 70))
        _, data = cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])
        result = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
    return result


def _lit(image: Float32Array, random: np.random.Generator) -> Float32Array:
    """Exposure, contrast curve, and lamps that light one side more."""
    curve = np.float32(np.exp(random.normal(0, 0.3)))
    contrast, level = np.exp(random.normal(0, 0.25)), 128 + random.normal(0, 30)
    lit = (255 * np.power(image / 255, curve) - 128) * np.float32(contrast) + np.float32(level)
    if random.random() < 0.5:
        height, width = image.shape
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        slope = random.normal(0, 0.15, 3).astype(np.float32)
        lit = lit * (1 + slope[0] * x + slope[1] * y - abs(slope[2]) * (x * x + y * y))
    return np.asarray(lit, np.float32)


def _lashes(image: Float32Array, lids: Float32Array, random: np.random.Generator) -> Float32Array:
    """Lashes of the upper lid, with mascara or not, and sometimes a dark line along the lid."""
    upper = lids[0]
    width = float(np.linalg.norm(upper[8] - upper[0]))
    shade = np.zeros(image.shape, np.uint8)
    if random.random() < 0.4:
        thickness = max(1, round(0.03 * width * random.uniform(0.5, 2)))
        line = np.asarray(np.round(upper * 16), np.int32)
        cv2.polylines(shade, [line], False, (255.0,), thickness, cv2.LINE_AA, shift=4)
    droop = random.uniform(-0.25, 0.15) * width  # upwards, or hanging over the eye
    for place in random.uniform(0, 8, int(random.integers(5, 40))):
        index = min(int(place), 7)
        root = upper[index] + (upper[index + 1] - upper[index]) * (place - index)
        fan = (place - 4) * 0.02 * width
        reach = (fan + random.normal(0, 0.02 * width), droop * random.uniform(0.6, 1.2))
        tip = root + np.array(reach)
        ends = [tuple(round(float(v) * 16) for v in point) for point in (root, tip)]
        cv2.line(shade, ends[0], ends[1], (255.0,), 1, cv2.LINE_AA, shift=4)
    strength = random.uniform(0.3, 0.9) * cv2.GaussianBlur(shade, (3, 3), 0).astype(np.float32)
    return np.asarray(image + (30 - image) * strength / 255, np.float32)


def _glints(image: Float32Array, random: np.random.Generator) -> Float32Array:
    """Reflections of the lamps, small and bright, somewhere around the middle."""
    height, width = image.shape
    bright = image.copy()
    centre = random.normal((width / 2, height / 2), (width / 6, height / 6))
    spread = random.uniform(0.02, 0.15) * width
    for _ in range(int(random.integers(1, 8))):
        x, y = centre + random.normal(0, spread, 2)
        radius = random.uniform(0.5, 3.0)
        place = (round(float(x) * 16), round(float(y) * 16))
        level = float(random.uniform(180, 255))
        cv2.circle(bright, place, int(radius * 16), (level,), -1, cv2.LINE_AA, shift=4)
    return bright


def _glasses(image: Float32Array, random: np.random.Generator) -> Float32Array:
    """A rim across the picture's edge and the sheen of the glass."""
    height, width = image.shape
    size = random.uniform(0.6, 1.1, 2) * (width, height)
    middle = random.normal((width / 2, height / 2), (width / 8, height / 8))
    rim = np.zeros(image.shape, np.uint8)
    box = (tuple(middle.tolist()), tuple(size.tolist()), float(random.uniform(-25, 25)))
    cv2.ellipse(rim, box, (255.0,), int(random.integers(2, 7)), cv2.LINE_AA)
    share = rim.astype(np.float32) / 255
    worn = image + (random.uniform(0, 255) - image) * share
    sheen = np.zeros(image.shape, np.uint8)
    place = np.asarray(random.uniform(0, width, (4, 2)), np.int32)
    cv2.fillConvexPoly(sheen, cv2.convexHull(place), (255.0,))
    soft = cv2.GaussianBlur(sheen, (0, 0), random.uniform(1, 6)).astype(np.float32) / 255
    return np.asarray(worn + random.uniform(10, 70) * soft, np.float32)


def _something_before_it(image: Float32Array, random: np.random.Generator) -> Float32Array:
    """The headset's rim, a hair or a finger over one edge."""
    height, width = image.shape
    hidden = image.copy()
    turn = random.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(turn), np.sin(turn)])
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    far = x * normal[0] + y * normal[1] > random.uniform(0.25, 0.45) * width
    hidden[far] = random.uniform(0, 200)
    return hidden


def _blurred(image: Float32Array, random: np.random.Generator) -> Float32Array:
    kind = random.random()
    if kind < 0.3:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.6)), np.float32)
    if kind < 0.4:
        length = int(random.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        turn = random.uniform(0, np.pi)
        half = (length - 1) / 2
        reach = (np.cos(turn) * half, np.sin(turn) * half)
        ends = [(round(half - reach[0]), round(half - reach[1]))]
        ends.append((round(half + reach[0]), round(half + reach[1])))
        cv2.line(kernel, ends[0], ends[1], (1.0,), 1)
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)
    return image
