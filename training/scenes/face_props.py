"""What may lie over a face or a headset besides: hands, strands of hair, glasses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, LEFT_EYE, LEFT_SIDE, NOSE_ROOT, RIGHT_EYE, RIGHT_SIDE

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Colour = tuple[float, float, float]

CHEEKS = (50, 280, 205, 425)  # mesh points on bare skin below the eyes
SHIFT = 3  # fractional bits of cv2's drawing coordinates


def put_glasses_on(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """Glasses or sunglasses on a bare face: what must not be taken for a headset."""
    is_dark = random.random() < 0.6
    frame = plain_colour(random, 0, 90) if random.random() < 0.7 else plain_colour(random, 60, 230)
    glass = plain_colour(random, 0, 60)
    span = _span(mesh)
    thickness = max(1, round(span * random.uniform(0.015, 0.06)))
    height = random.uniform(0.17, 0.30) * span
    lenses = np.zeros(image.shape[:2], np.uint8)
    rims = np.zeros(image.shape[:2], np.uint8)
    across = mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2]
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    for eye in EYES:
        corners = mesh[[eye.inner_corner, eye.outer_corner], :2]
        middle = corners.mean(axis=0) + np.array([0, 0.03 * span])
        width = float(np.linalg.norm(corners[1] - corners[0])) * random.uniform(0.72, 0.95)
        shape = (_fixed(middle), _fixed(np.array([width, height])), angle)
        cv2.ellipse(lenses, shape[0], shape[1], shape[2], 0, 360, (255.0,), -1, cv2.LINE_AA, SHIFT)
        cv2.ellipse(
            rims, shape[0], shape[1], shape[2], 0, 360, (255.0,), thickness, cv2.LINE_AA, SHIFT
        )
    lines = [
        (mesh[RIGHT_EYE.inner_corner], mesh[LEFT_EYE.inner_corner]),
        (mesh[RIGHT_EYE.outer_corner], mesh[RIGHT_SIDE]),
        (mesh[LEFT_EYE.outer_corner], mesh[LEFT_SIDE]),
    ]
    for start, end in lines:
        cv2.line(rims, _fixed(start[:2]), _fixed(end[:2]), (255.0,), thickness, cv2.LINE_AA, SHIFT)
    opacity = random.uniform(0.6, 1.0) if is_dark else random.uniform(0.0, 0.15)
    return _laid(_laid(image, lenses, glass, opacity), rims, frame, 1.0)


def put_headphones_on(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """Headphones: a band over the hair and cups at the ears, which are no part of a headset."""
    span = _span(mesh)
    sides = mesh[[RIGHT_SIDE, LEFT_SIDE], :2]
    across = sides[1] - sides[0]
    length = float(np.linalg.norm(across))
    if length < 4:
        return image
    angle = float(np.degrees(np.arctan2(across[1], across[0])))
    down = np.array([-across[1], across[0]]) / length
    band, cups = (np.zeros(image.shape[:2], np.uint8) for _ in range(2))
    reach = length * random.uniform(0.5, 0.58)
    ring = (_fixed(sides.mean(axis=0)), _fixed(np.array([reach, span * random.uniform(1.1, 1.5)])))
    thickness = max(1, round(span * random.uniform(0.06, 0.22)))
    cv2.ellipse(band, *ring, angle, 180, 360, (255.0,), thickness, cv2.LINE_AA, SHIFT)
    size = np.array([random.uniform(0.1, 0.28), random.uniform(0.28, 0.48)]) * span
    for place, sign in zip(sides, (-1, 1), strict=True):
        middle = (
            place + across / length * sign * 0.4 * size[0] + down * random.normal(0, 0.06) * span
        )
        shape = (_fixed(middle), _fixed(size), angle)
        cv2.ellipse(cups, *shape, 0, 360, (255.0,), -1, cv2.LINE_AA, SHIFT)
    outer = plain_colour(random, 5, 240)
    image = _laid(
        image, band, outer if random.random() < 0.6 else plain_colour(random, 5, 240), 1.0
    )
    return _laid(image, cups, outer, 1.0)


def hair_over(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """Thin strands that hang over the headset; too thin to count as uncovered."""
    image = image.copy()
    dark = plain_colour(random, 5, 110)
    span = _span(mesh)
    root = mesh[10, :2] + np.array([random.uniform(-0.7, 0.7) * span, -0.2 * span])
    for _ in range(int(random.integers(4, 24))):
        start = root + random.normal(0, 0.12, 2) * span
        bend = start + np.array([random.normal(0, 0.2), random.uniform(0.1, 0.4)]) * span
        end = bend + np.array([random.normal(0, 0.2), random.uniform(0.1, 0.5)]) * span
        points = np.round(np.array([start, bend, end]) * (1 << SHIFT)).astype(np.int32)
        cv2.polylines(image, [points], False, dark, 1, cv2.LINE_AA, SHIFT)
    return image


def hand_over(
    image: ImageU8, mask: ImageU8, mesh: Float32Array, random: np.random.Generator
) -> tuple[ImageU8, ImageU8]:
    """Fingers of the wearer's skin colour, or something dark held up; they leave the mask."""
    span = _span(mesh)
    covered = np.zeros(image.shape[:2], np.uint8)
    side = random.choice([-1, 1])
    target = (
        mesh[NOSE_ROOT, :2]
        + np.array([side * random.uniform(0.25, 0.95), random.uniform(-0.45, 1.0)]) * span
    )
    direction = np.array([side * random.uniform(0.2, 1.0), random.uniform(-0.2, 1.0)])
    direction /= np.linalg.norm(direction)
    width = max(2, int(span * random.uniform(0.14, 0.24)))
    beside = np.array([-direction[1], direction[0]])
    for index in range(int(random.integers(1, 5))):
        tip = target + beside * width * 1.05 * index + direction * random.uniform(0, 0.2) * span
        end = tip + direction * 3 * span
        cv2.line(covered, _fixed(tip), _fixed(end), (255.0,), width, cv2.LINE_AA, SHIFT)
    x, y = np.round(mesh[int(random.choice(CHEEKS)), :2]).astype(int)
    x, y = (
        int(np.clip(v, 0, limit - 1)) for v, limit in ((x, image.shape[1]), (y, image.shape[0]))
    )
    skin = image[y, x].astype(np.float64) * random.uniform(0.75, 1.15)
    if random.random() < 0.2:
        skin = np.asarray(plain_colour(random, 10, 80))
    depth = cv2.distanceTransform(covered, cv2.DIST_L2, 3)
    shade = 0.62 + 0.38 * np.minimum(depth / (width / 2), 1.0)
    painted = np.clip(skin * shade[..., None], 0, 255)
    share = covered[..., None].astype(np.float32) / 255
    image = np.asarray(image * (1 - share) + painted * share, np.uint8)
    return image, np.minimum(mask, 255 - covered)


def body_under(
    scene: ImageU8,
    centre: NDArray[np.float64],
    side: float,
    skin: NDArray[np.uint8],
    cloth: ImageU8,
    random: np.random.Generator,
) -> ImageU8:
    """Shoulders, chest and arms under a head: what is in view of a camera, and no headset.

    `centre` (2,) and `side` place the head's box, in shares of the scene's side (S,S,3).
    """
    size = scene.shape[0]
    x, y = centre * size
    unit = side * size
    half = unit * random.uniform(0.45, 0.75)
    top, waist = y + unit * random.uniform(0.32, 0.45), y + unit * random.uniform(1.4, 2.6)
    chest = np.array(
        [(x - 0.35 * half, top - 0.12 * unit), (x + 0.35 * half, top - 0.12 * unit),
         (x + half, top), (x + 0.85 * half, waist), (x - 0.85 * half, waist), (x - half, top)]
    )  # fmt: skip
    clothed = np.zeros((size, size), np.uint8)
    cv2.fillPoly(clothed, [np.round(chest).astype(np.int32)], (255.0,))
    bare = np.zeros_like(clothed)
    width = max(1, int(unit * random.uniform(0.12, 0.22)))
    for sign in (-1, 1):
        shoulder = np.array([x + sign * 0.9 * half, top + width / 2])
        elbow = shoulder + unit * np.array(
            [sign * random.uniform(0, 0.7), random.uniform(0.2, 0.9)]
        )
        hand = elbow + unit * np.array([random.uniform(-0.8, 0.8), random.uniform(-0.9, 0.5)])
        cv2.line(clothed, _fixed(shoulder), _fixed(elbow), (255.0,), width, cv2.LINE_AA, SHIFT)
        cv2.line(bare, _fixed(elbow), _fixed(hand), (255.0,), width, cv2.LINE_AA, SHIFT)
        cv2.circle(bare, _fixed(hand), (width << SHIFT) * 3 // 4, (255.0,), -1, cv2.LINE_AA, SHIFT)
    scene = scene.copy()
    fabric = cv2.resize(cloth[-40:, :60], (size, size))
    dye = np.full_like(fabric, plain_colour(random, 5, 235))
    np.copyto(scene, cv2.addWeighted(fabric, 0.3, dye, 0.7, 0), where=clothed[..., None] > 127)
    if random.random() < 0.8:
        shade = np.linspace(1.1, 0.7, size)[:, None, None] * random.uniform(0.7, 1.1)
        np.copyto(scene, (skin * shade).clip(0, 255).astype(np.uint8), where=bare[..., None] > 127)
    return scene


def _span(mesh: Float32Array) -> float:
    return max(
        float(np.linalg.norm(mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2])),
        4.0,
    )


def _fixed(point: Float32Array | NDArray[np.float64]) -> tuple[int, int]:
    x, y = np.round(np.asarray(point, np.float64) * (1 << SHIFT)).astype(int)
    return int(x), int(y)


def plain_colour(random: np.random.Generator, low: int, high: int) -> Colour:
    """A BGR colour that is nearly grey, of a brightness between `low` and `high`, 0..255."""
    base = random.uniform(low, high)
    blue, green, red = np.clip(base + random.normal(0, 10, 3), 0, 255)
    return float(blue), float(green), float(red)


def _laid(image: ImageU8, shape: ImageU8, colour: Colour, opacity: float) -> ImageU8:
    share = shape[..., None].astype(np.float32) * (opacity / 255)
    return np.asarray(image * (1 - share) + np.asarray(colour) * share, np.uint8)
