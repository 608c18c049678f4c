"""Procedural headsets: their styles, and the picture on their front.

All lengths are in spans on the head, see `hmd_capture.head_pose`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.headset_outline import outline

ImageU8 = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
Colour = tuple[float, float, float]  # BGR, 0..255, as lit from straight ahead

TEXTURE_PX = (320, 200)
MIP_LEVELS = 4  # texture sizes, each half the one before: small faces must not shimmer


@dataclass(frozen=True)
class HeadsetStyle:
    """What one headset looks like."""

    name: str
    widening: float  # half width of the body over half width of the face
    half_height: float
    front: float  # how far the front is ahead of the eyes
    squareness: float  # exponent of the outline: 2 an ellipse, 8 nearly a box
    wrap: float  # how far the body's sides reach back around the face
    body: Colour
    plate: Colour
    foam: Colour
    strap: Colour
    gloss: float  # 0..1 strength of the highlight on the front
    camera_spots: tuple[tuple[float, float], ...]  # on the front, -1..1 in both directions
    has_top_strap: bool


VISOR = HeadsetStyle(
    name="visor",
    widening=1.14,
    half_height=0.61,
    front=0.98,
    squareness=4.0,
    wrap=0.42,
    body=(206, 208, 210),
    plate=(214, 216, 218),
    foam=(38, 36, 36),
    strap=(196, 198, 200),
    gloss=0.25,
    camera_spots=((-0.84, -0.66), (0.84, -0.66), (-0.74, 0.74), (0.74, 0.74)),
    has_top_strap=True,
)
GOGGLES = HeadsetStyle(
    name="goggles",
    widening=1.15,
    half_height=0.61,
    front=0.86,
    squareness=3.6,
    wrap=0.50,
    body=(52, 50, 50),
    plate=(30, 27, 26),
    foam=(28, 28, 30),
    strap=(84, 80, 78),
    gloss=0.75,
    camera_spots=((-0.5, 0.0), (0.5, 0.0), (0.0, -0.55)),
    has_top_strap=False,
)
BOX = HeadsetStyle(
    name="box",
    widening=1.12,
    half_height=0.60,
    front=1.10,
    squareness=6.5,
    wrap=0.36,
    body=(66, 62, 60),
    plate=(54, 50, 48),
    foam=(24, 24, 24),
    strap=(40, 40, 42),
    gloss=0.15,
    camera_spots=((-0.86, -0.72), (0.86, -0.72), (-0.86, 0.72), (0.86, 0.72)),
    has_top_strap=True,
)
STYLES = {style.name: style for style in (VISOR, GOGGLES, BOX)}


def styled(name: str | None, rng: np.random.Generator) -> HeadsetStyle:
    """Return a style by name, or a random one, with dimensions and colours varied a little.

    Raises ValueError if there is no style of that name.
    """
    if name is not None and name not in STYLES:
        raise ValueError(f"no headset called {name!r}; known: {', '.join(sorted(STYLES))}")
    style = STYLES[name if name is not None else str(rng.choice(sorted(STYLES)))]
    tint = rng.uniform(0.88, 1.12) * rng.uniform(0.96, 1.04, 3)

    def tinted(colour: Colour) -> Colour:
        blue, green, red = np.clip(np.array(colour) * tint, 8, 235)
        return float(blue), float(green), float(red)

    return replace(
        style,
        widening=style.widening * rng.uniform(1.0, 1.06),
        half_height=style.half_height * rng.uniform(1.0, 1.06),
        front=style.front * rng.uniform(0.92, 1.05),
        squareness=style.squareness * rng.uniform(0.9, 1.15),
        body=tinted(style.body),
        plate=tinted(style.plate),
        strap=tinted(style.strap),
    )


def front_texture(style: HeadsetStyle, rng: np.random.Generator) -> list[ImageU8]:
    """Paint the front: (H,W,4) BGRA images, each half the size of the one before."""
    width, height = TEXTURE_PX
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    shade = 1.0 - 0.16 * y - 0.10 * x**4  # lit from above, falling off where the sides bend away
    highlight = np.exp(-(((y + 0.62 - 0.1 * x) / 0.16) ** 2) - (x / 0.85) ** 4)
    image = np.array(style.plate) * shade[..., None] + 150 * style.gloss * highlight[..., None]
    image += rng.normal(0, 1.5, (height, width, 1))  # matt plastic is not perfectly even
    image = np.clip(image, 0, 255).astype(np.uint8)
    _draw_seam(image, style)
    for spot in style.camera_spots:
        _draw_camera(image, spot)
    _draw_light(image, rng)
    edge = np.abs(x) ** style.squareness + np.abs(y) ** style.squareness
    alpha = np.where(edge <= 1.0, 255, 0).astype(np.uint8)
    levels = [np.dstack([image, alpha])]
    for _ in range(MIP_LEVELS - 1):
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.uint8))
    return levels


def _draw_seam(image: ImageU8, style: HeadsetStyle) -> None:
    """The thin line where the front plate is set into its frame."""
    height, width = image.shape[:2]
    line = outline(style.squareness) * 0.93
    points = ((line + 1) / 2 * (width - 1, height - 1) * 8).astype(np.int32)
    dark = tuple(0.72 * value for value in style.plate)
    cv2.polylines(image, [points], True, dark, 2, cv2.LINE_AA, shift=3)


def _draw_camera(image: ImageU8, spot: tuple[float, float]) -> None:
    height, width = image.shape[:2]
    # Towards the corners the outline is round: keep the whole lens on the plate.
    centre = (round((spot[0] * 0.88 + 1) / 2 * width), round((spot[1] * 0.82 + 1) / 2 * height))
    cv2.circle(image, centre, 13, (26, 24, 24), -1, cv2.LINE_AA)
    cv2.circle(image, centre, 13, (70, 70, 72), 1, cv2.LINE_AA)
    cv2.circle(image, centre, 7, (48, 30, 22), -1, cv2.LINE_AA)
    cv2.circle(image, (centre[0] - 3, centre[1] - 4), 2, (190, 180, 170), -1, cv2.LINE_AA)


def _draw_light(image: ImageU8, rng: np.random.Generator) -> None:
    """A status light, so that the front has an up and a left."""
    height, width = image.shape[:2]
    centre = (round(width * rng.uniform(0.62, 0.7)), round(height * 0.88))
    cv2.circle(image, centre, 3, (235, 235, 210), -1, cv2.LINE_AA)
