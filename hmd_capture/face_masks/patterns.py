"""What is printed on cloth: colours and patterns. Some are kept for testing only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Textures = Literal["train", "val", "test"]
Pattern = Callable[[tuple[int, int], np.random.Generator], Float32Array]

FIRST_SEED: Mapping[Textures, int] = {"train": 0, "val": 1_000_000, "test": 2_000_000}


def colour(random: np.random.Generator) -> Float32Array:
    """(3,) BGR 0..255: white, grey, black, or anything."""
    kind = random.random()
    if kind < 0.3:
        return np.asarray(random.uniform(12, 250) + random.normal(0, 5, 3), np.float32)
    pixel = random.uniform((0, 30, 30), (180, 255, 250)).astype(np.uint8)[None, None]
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0], np.float32)


def plain(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """One colour, (H,W,3)."""
    return np.broadcast_to(colour(random), (*shape, 3)).astype(np.float32)


def gradient(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """From one colour to another."""
    x, y = _turned(shape, random)
    share = np.clip(0.5 + x * random.uniform(0.5, 2) + 0 * y, 0, 1)
    return _between(share, random)


def stripes(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Stripes of two colours, any width and direction."""
    x, _ = _turned(shape, random)
    return _between(_wave(x * random.uniform(3, 30), random.uniform(0.1, 1)), random)


def dots(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Dots in rows."""
    x, y = _turned(shape, random)
    count, size = random.uniform(4, 16), random.uniform(0.15, 0.4)
    distance = np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5)
    return _between((distance < size).astype(np.float32), random)


def blots(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Large soft flowers or clouds."""
    return _between(np.clip(0.5 + 0.7 * _noise(shape, random.uniform(4, 22), random), 0, 1), random)


def lettering(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """A word or a number somewhere."""
    picture = np.ascontiguousarray(plain(shape, random))
    ink = tuple(float(v) for v in colour(random))
    for _ in range(int(random.integers(1, 4))):
        word = "".join(chr(int(c)) for c in random.integers(48, 91, int(random.integers(2, 8))))
        place = tuple(int(v) for v in random.uniform((0, 0.2), (0.7, 0.95)) * (shape[1], shape[0]))
        size, thick = random.uniform(0.5, 2.4), int(random.integers(1, 6))
        cv2.putText(picture, word, place, int(random.integers(0, 8)), size, ink, thick, cv2.LINE_AA)
    return picture


def checks(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Tartan: stripes both ways, several widths."""
    x, y = _turned(shape, random)
    picture = np.ascontiguousarray(plain(shape, random))
    for axis in (x, y):
        for _ in range(2):
            is_line = _wave(axis * random.uniform(3, 12), 1.0) > random.uniform(0.4, 0.8)
            share = random.uniform(0.3, 0.7) * is_line[..., None]
            picture = np.asarray(picture * (1 - share) + colour(random) * share, np.float32)
    return np.asarray(picture, np.float32)


def camouflage(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Patches of three or four colours."""
    picture = np.ascontiguousarray(plain(shape, random))
    for _ in range(int(random.integers(2, 4))):
        area = _noise(shape, random.uniform(5, 14), random) > random.uniform(0, 0.5)
        picture[area] = colour(random)
    return picture


def zigzag(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """Zigzag stripes."""
    x, y = _turned(shape, random)
    teeth = random.uniform(4, 14)
    bend = abs((x * teeth) % 1 - 0.5) * random.uniform(0.05, 0.2)
    return _between(_wave((y + bend) * random.uniform(5, 16), 0.1), random)


def emblem(shape: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """A big star, disc or mouth-like drawing in the middle."""
    picture = np.ascontiguousarray(plain(shape, random))
    height, width = shape
    centre = random.uniform((0.35, 0.35), (0.65, 0.7)) * (width, height)
    turn = np.linspace(0, 2 * np.pi, 2 * int(random.integers(3, 9)), endpoint=False)
    outer = random.uniform(0.15, 0.45) * height
    radius = np.where(np.arange(len(turn)) % 2, outer * random.uniform(0.3, 1.0), outer)
    points = centre + np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
    ink = tuple(float(v) for v in colour(random))
    cv2.fillPoly(picture, [np.round(points).astype(np.int32)], ink, cv2.LINE_AA)
    ring = tuple(float(v) for v in colour(random))
    middle = (int(centre[0]), int(centre[1]))
    cv2.circle(picture, middle, int(outer * random.uniform(0.2, 1.2)), ring, 3, cv2.LINE_AA)
    return picture


TRAINED: tuple[Pattern, ...] = (plain, gradient, stripes, dots, blots, lettering)
HELD_BACK: tuple[Pattern, ...] = (checks, camouflage, zigzag, emblem)  # for testing only


def printed(
    shape: tuple[int, int], random: np.random.Generator, textures: Textures
) -> Float32Array:
    """A print (H,W,3) BGR 0..255 of the patterns that belong to a split."""
    pool = HELD_BACK if textures == "test" else TRAINED
    return pool[int(random.integers(len(pool)))](shape, random)


def _between(share: Float32Array, random: np.random.Generator) -> Float32Array:
    one, other = colour(random), colour(random)
    return np.asarray(one + (other - one) * share[..., None], np.float32)


def _turned(
    shape: tuple[int, int], random: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Coordinates in widths, turned by a random angle."""
    height, width = shape
    x, y = np.meshgrid(np.arange(width) / width - 0.5, np.arange(height) / width - 0.5)
    turn = random.uniform(0, np.pi)
    turned = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return turned[0].astype(np.float32), turned[1].astype(np.float32)


def _wave(phase: Float32Array, softness: float) -> Float32Array:
    return np.asarray(np.clip(0.5 + np.sin(2 * np.pi * phase) / (2 * softness), 0, 1), np.float32)


def _noise(shape: tuple[int, int], sigma: float, random: np.random.Generator) -> Float32Array:
    """Smooth noise of about unit variance."""
    rough = random.standard_normal(shape, np.float32)
    smooth = np.asarray(cv2.GaussianBlur(rough, (0, 0), sigma), np.float32)
    return smooth / max(float(smooth.std()), 1e-6)
