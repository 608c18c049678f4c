"""The picture on a face mask: its print, and the light and shade of pleats, seams and folds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.face_masks import patterns
from hmd_capture.face_masks.cut import SCARVES
from hmd_capture.face_masks.patterns import Textures

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

HEIGHT, WIDTH = 192, 256
MIP_LEVELS = 4  # each half the one before: small faces must not shimmer
MEDICAL = ((225, 205, 150), (236, 236, 232), (200, 214, 160), (206, 190, 236), (38, 36, 36))
RESPIRATOR = ((238, 240, 240), (232, 232, 226), (70, 66, 64), (214, 220, 226))
PRINTED_SHARE = {"surgical": 0.25, "cloth": 0.8, "n95": 0.2, "bandana": 0.85, "scarf": 0.7}


@dataclass(frozen=True)
class Cloth:
    """What a mask is made of."""

    levels: tuple[ImageU8, ...]  # (H,W,3) BGR, large to small
    strap: Float32Array  # (3,) BGR

    def level_for(self, width_px: float) -> ImageU8:
        """The smallest level that is at least so wide."""
        fitting = [level for level in self.levels if level.shape[1] >= width_px]
        return fitting[-1] if fitting else self.levels[0]


def woven(kind: str, random: np.random.Generator, textures: Textures) -> Cloth:
    """Cloth for a kind of mask, with patterns of a split."""
    colours = _print(kind, random, textures)
    relief = _relief(kind, random) * _grain(random)
    picture = np.ascontiguousarray(colours * relief[..., None])
    if kind == "n95" and random.random() < 0.4:
        _valve(picture, random)
    top = np.clip(picture, 0, 255).astype(np.uint8)
    levels = [top]
    for _ in range(MIP_LEVELS - 1):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
    white = np.asarray(random.uniform(195, 245) + random.normal(0, 4, 3), np.float32)
    strap = white if random.random() < 0.6 else patterns.colour(random)
    if kind not in SCARVES and random.random() < 0.3:
        strap = np.asarray(colours.reshape(-1, 3).mean(axis=0), np.float32)
    return Cloth(tuple(levels), strap)


def _print(kind: str, random: np.random.Generator, textures: Textures) -> Float32Array:
    shape = (HEIGHT, WIDTH)
    if random.random() < PRINTED_SHARE[kind]:
        return patterns.printed(shape, random, textures)
    palette = {"surgical": MEDICAL, "n95": RESPIRATOR}.get(kind)
    if palette is None or random.random() < 0.15:
        return patterns.plain(shape, random)
    usual = np.array(palette[int(random.integers(len(palette)))], np.float32)
    return np.broadcast_to(usual + random.normal(0, 6, 3), (*shape, 3)).astype(np.float32)


def _relief(kind: str, random: np.random.Generator) -> Float32Array:
    """(H,W) factor of brightness, about 1."""
    x, y = np.meshgrid(np.linspace(-1, 1, WIDTH), np.linspace(0, 1, HEIGHT))
    relief = {
        "surgical": _pleats, "cloth": _seam, "n95": _shell, "bandana": _drape, "scarf": _turns,
    }[kind](x.astype(np.float32), y.astype(np.float32), random)  # fmt: skip
    if kind not in SCARVES:
        relief = relief * _hem(x, y, random)
    return np.asarray(relief, np.float32)


def _pleats(x: Float32Array, y: Float32Array, random: np.random.Generator) -> Float32Array:
    """Three pleats across, and the wire over the nose."""
    relief = np.ones_like(y)
    depth = random.uniform(0.08, 0.28)
    for place in np.linspace(0.34, 0.72, int(random.integers(2, 5))) + random.normal(0, 0.02):
        below = y - (place + 0.03 * x**2 * random.uniform(-1, 1))
        relief -= depth * np.exp(-(((below - 0.012) / 0.014) ** 2))
        relief += 0.4 * depth * np.exp(-(((below + 0.014) / 0.016) ** 2))
        relief -= 0.35 * depth * np.clip(1 - below / 0.12, 0, 1) * (below > 0)
    wire = np.exp(-(((y - 0.06) / 0.018) ** 2)) * (abs(x) < 0.45)
    return np.asarray(relief + random.uniform(0.0, 0.1) * wire + _wrinkles(random, 0.05))


def _seam(x: Float32Array, y: Float32Array, random: np.random.Generator) -> Float32Array:
    """A seam down the middle, and wrinkles towards the ears."""
    bend = 0.12 * np.sin(np.pi * y) * random.uniform(-0.3, 0.3)
    seam = np.exp(-(((x - bend) / 0.02) ** 2)) if random.random() < 0.6 else 0 * x
    light = 1 + 0.06 * np.sign(x - bend) * random.uniform(-1, 1) * (random.random() < 0.6)
    folds = 0.07 * abs(x) ** 2 * np.sin(random.uniform(12, 30) * y + 4 * abs(x))
    return np.asarray(light - 0.25 * seam + folds + _wrinkles(random, 0.08), np.float32)


def _shell(x: Float32Array, y: Float32Array, random: np.random.Generator) -> Float32Array:
    """A stiff shell: folded across the middle, or moulded with an embossed ring."""
    if random.random() < 0.5:
        edge = y - random.uniform(0.4, 0.6)
        fold = 1 + 0.08 * np.tanh(-edge / 0.05) - 0.2 * np.exp(-((edge / 0.012) ** 2))
        return np.asarray(fold + _wrinkles(random, 0.03), np.float32)
    radius = np.hypot(x / 0.85, (y - 0.5) / 0.42)
    rings = 0.12 * np.sin(np.clip((radius - 0.7) / 0.3, 0, 1) * 2 * np.pi)
    return np.asarray(1 - rings + _wrinkles(random, 0.02), np.float32)


def _drape(x: Float32Array, y: Float32Array, random: np.random.Generator) -> Float32Array:
    """Thin cloth tied behind: folds run from the sides down to the middle."""
    course = y - random.uniform(0.2, 0.5) * (1 - abs(x)) * y + 0.15 * _field(random, 30)
    folds = np.sin(course * random.uniform(16, 34) + _field(random, 24))
    strength = random.uniform(0.05, 0.16) * (0.3 + y)
    return np.asarray(1 + strength * folds + _wrinkles(random, 0.08), np.float32)


def _turns(x: Float32Array, y: Float32Array, random: np.random.Generator) -> Float32Array:
    """Thick turns of a wound scarf, each lit on top and dark where it goes under the next."""
    lean = random.uniform(-0.25, 0.25)
    course = y + lean * x * y - 0.12 * (1 - x**2) * y + 0.03 * _field(random, 26)
    phase = (course * random.uniform(2.0, 4.0) + random.uniform(0, 1)) % 1
    body = np.sin(np.pi * phase) ** 0.6
    knit = 0.05 * np.sin(course * random.uniform(90, 220)) * (random.random() < 0.5)
    return np.asarray(0.55 + 0.5 * body + knit + _wrinkles(random, 0.10), np.float32)


def _hem(
    x: NDArray[np.float64], y: NDArray[np.float64], random: np.random.Generator
) -> Float32Array:
    """The edge's binding: another brightness, and a line of stitches."""
    inwards = np.minimum(np.minimum(y, 1 - y) * HEIGHT, (1 - abs(x)) * WIDTH / 2)
    width = random.uniform(5, 12)
    binding = np.where(inwards < width, random.uniform(0.86, 1.08), 1.0)
    stitches = np.exp(-(((inwards - width) / 1.3) ** 2)) * random.uniform(0.0, 0.2)
    return np.asarray(binding - stitches, np.float32)


def _wrinkles(random: np.random.Generator, strength: float) -> Float32Array:
    return strength * random.uniform(0.3, 1.2) * _field(random, random.uniform(5, 14))


def _field(random: np.random.Generator, sigma: float) -> Float32Array:
    """Smooth noise (H,W) of about unit variance, drawn at a quarter of the size."""
    rough = random.standard_normal((HEIGHT // 4, WIDTH // 4), np.float32)
    sigmas = sigma / 4 * random.uniform(0.8, 1.6, 2)
    smooth = cv2.GaussianBlur(rough, (0, 0), sigmaX=float(sigmas[0]), sigmaY=float(sigmas[1]))
    smooth = np.asarray(cv2.resize(smooth, (WIDTH, HEIGHT)), np.float32)
    return smooth / max(float(smooth.std()), 1e-6)


def _grain(random: np.random.Generator) -> Float32Array:
    rough = random.standard_normal((HEIGHT, WIDTH), np.float32)
    return 1 + random.uniform(0.0, 0.06) * rough


def _valve(picture: Float32Array, random: np.random.Generator) -> None:
    """The round valve of some respirators."""
    centre = (int(WIDTH * random.uniform(0.5, 0.72)), int(HEIGHT * random.uniform(0.45, 0.68)))
    size = int(HEIGHT * random.uniform(0.09, 0.15))
    light = float(random.uniform(150, 245))
    cv2.circle(picture, centre, size, (light, light, light), -1, cv2.LINE_AA)
    for radius in range(size, 3, -6):
        cv2.circle(picture, centre, radius, (0.75 * light,) * 3, 1, cv2.LINE_AA)
