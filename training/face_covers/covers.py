"""Made-up things over a bare face: hands, masks, hair, dark glasses, glare, objects.

Every cover says which pixels it hides, so that the labels are exact.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import CHIN, EYES, FOREHEAD_TOP, JAW, LEFT_SIDE, NOSE_TIP, RIGHT_SIDE
from training.scenes.bare_faces import BareFace
from training.scenes.face_props import hand_over

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Points = NDArray[np.float64]
Covered = tuple[ImageU8, ImageU8]  # the picture (S,S,3), and 255 where it is covered (S,S)
Cover = Callable[[BareFace, "np.random.Generator"], Covered]


def hand(face: BareFace, random: np.random.Generator) -> Covered:
    """Fingers from any side, and often the palm behind them."""
    whole = np.full(face.image.shape[:2], 255, np.uint8)
    image, left = hand_over(face.image, whole, face.mesh, random)
    covered = np.asarray(255 - left, np.uint8)
    if random.random() < 0.6:
        span = _span(face.mesh)
        middle = _place(face.mesh, random)
        size = span * random.uniform(0.25, 0.6, 2)
        palm = _ellipse(covered.shape, middle, size, random.uniform(0, 180))
        skin = _skin(face, random)
        image = _painted(image, palm, skin * _shade(palm, random)[..., None])
        covered = np.maximum(covered, palm)
    return image, covered


def face_mask(face: BareFace, random: np.random.Generator) -> Covered:
    """A medical or cloth mask from the nose down, or a scarf from the mouth down."""
    mesh = face.mesh[:, :2].astype(np.float64)
    top = mesh[NOSE_TIP] + random.uniform(-0.5, 0.9) * (mesh[CHIN] - mesh[NOSE_TIP]) * 0.5
    sides = [
        mesh[side] + random.uniform(0.05, 0.4) * (mesh[CHIN] - mesh[side])
        for side in (RIGHT_SIDE, LEFT_SIDE)
    ]
    jaw = mesh[list(JAW[3:-3])] + random.normal(0, 0.02, (len(JAW) - 6, 2)) * _span(face.mesh)
    outline = np.concatenate([jaw, sides[1:], [top], sides[:1]])
    covered = _polygon(face.image.shape, outline)
    return _painted(face.image, covered, _cloth(face, random)), covered


def fringe(face: BareFace, random: np.random.Generator) -> Covered:
    """Hair that hangs from the forehead: a curtain, or locks with gaps between them."""
    mesh, span = face.mesh[:, :2].astype(np.float64), _span(face.mesh)
    covered = np.zeros(face.image.shape[:2], np.uint8)
    low = random.uniform(-0.4, 0.5)  # from the brows to below the eyes
    for _ in range(int(random.integers(3, 22))):
        root = (
            mesh[FOREHEAD_TOP]
            + np.array([random.uniform(-0.9, 0.9), random.uniform(-0.35, 0.0)]) * span
        )
        eye = mesh[list(EYES[int(random.integers(2))].upper_lid)].mean(axis=0)
        tip = eye + np.array([random.normal(0, 0.3), low + random.normal(0, 0.15)]) * span
        bend = (root + tip) / 2 + random.normal(0, 0.12, 2) * span
        width = max(1, round(span * random.uniform(0.02, 0.16)))
        line = np.round(np.array([root, bend, tip])).astype(np.int32)
        cv2.polylines(covered, [line], False, (255.0,), width, cv2.LINE_AA)
    hair = _streaks(face.image.shape, _colour(random, 8, 190), random)
    return _painted(face.image, covered, hair), covered


def dark_glasses(face: BareFace, random: np.random.Generator) -> Covered:
    """Sunglasses: lenses through which the eyes are hardly seen."""
    covered = _lenses(face, random)
    dark = np.full(face.image.shape, _colour(random, 0, 60), np.float64)
    opacity = random.uniform(0.8, 1.0)
    dark = dark * opacity + face.image * (1 - opacity)
    return _painted(face.image, covered, dark), covered


def glare(face: BareFace, random: np.random.Generator) -> Covered:
    """A window or a lamp mirrored in glasses, over one eye or both."""
    lenses = _lenses(face, random)
    light = np.zeros_like(lenses)
    for eye in EYES if random.random() < 0.6 else (EYES[int(random.integers(2))],):
        corners = face.mesh[[eye.inner_corner, eye.outer_corner], :2].astype(np.float64)
        width = float(np.linalg.norm(corners[1] - corners[0]))
        middle = corners.mean(axis=0) + random.normal(0, 0.12, 2) * width
        size = width * random.uniform([0.35, 0.25], [0.8, 0.6])
        patch = _ellipse if random.random() < 0.4 else _box
        light = np.maximum(light, patch(lenses.shape, middle, size, random.uniform(-25, 25)))
    covered = np.minimum(light, lenses)
    sigma = random.uniform(0.3, 2.0)
    soft = np.asarray(cv2.GaussianBlur(covered, (0, 0), sigma), np.uint8)
    white = np.full(face.image.shape, random.uniform(225, 255), np.float64)
    return _painted(face.image, soft, white), np.asarray((soft > 150) * 255, np.uint8)


def thing(face: BareFace, random: np.random.Generator) -> Covered:
    """A telephone, a cup, a sheet of paper: a patch of any colour and pattern."""
    span = _span(face.mesh)
    size = span * random.uniform(0.2, 0.7, 2)
    patch = _ellipse if random.random() < 0.4 else _box
    place = _place(face.mesh, random)
    covered = patch(face.image.shape[:2], place, size, random.uniform(0, 180))
    return _painted(face.image, covered, _cloth(face, random)), covered


COVERS: tuple[Cover, ...] = (hand, face_mask, fringe, dark_glasses, glare, thing)


def _place(mesh: Float32Array, random: np.random.Generator) -> Points:
    """Somewhere on the face."""
    return mesh[int(random.integers(468)), :2].astype(np.float64)


def _lenses(face: BareFace, random: np.random.Generator) -> ImageU8:
    span = _span(face.mesh)
    covered = np.zeros(face.image.shape[:2], np.uint8)
    height, share = random.uniform(0.18, 0.32) * span, random.uniform(0.7, 0.95)
    for eye in EYES:
        corners = face.mesh[[eye.inner_corner, eye.outer_corner], :2].astype(np.float64)
        across = corners[1] - corners[0]
        width = float(np.linalg.norm(across)) * share
        middle = corners.mean(axis=0) + np.array([0, 0.03 * span])
        angle = float(np.degrees(np.arctan2(across[1], across[0])))
        covered = np.maximum(
            covered, _ellipse(covered.shape, middle, np.array([width, height]), angle)
        )
    return covered


def _cloth(face: BareFace, random: np.random.Generator) -> Points:
    """(S,S,3) one colour with folds, or somebody's clothes: another part of the picture."""
    shape = face.image.shape
    if random.random() < 0.3:
        turned = np.rot90(face.image, int(random.integers(1, 4)))
        return np.asarray(turned.astype(np.float64) * random.uniform(0.6, 1.2))
    folds = _streaks(shape, np.zeros(3), random)
    return np.full(shape, random.uniform(5, 250, 3)) * random.uniform(0.7, 1) + folds


def _streaks(shape: tuple[int, ...], colour: Points, random: np.random.Generator) -> Points:
    noise = random.normal(0, random.uniform(5, 40), (shape[0], shape[1], 1)).astype(np.float32)
    sigmas = random.uniform(0.5, 2.5), random.uniform(2, 9)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigmas[0], sigmaY=sigmas[1])
    return np.asarray(colour) + 3.0 * np.asarray(smooth, np.float64).reshape(*shape[:2], 1)


def _shade(covered: ImageU8, random: np.random.Generator) -> Points:
    depth = cv2.distanceTransform(covered, cv2.DIST_L2, 3)
    reach = random.uniform(3, 12)
    return np.asarray(0.65 + 0.35 * np.minimum(depth / reach, 1.0), np.float64)


def _skin(face: BareFace, random: np.random.Generator) -> Points:
    points = np.round(face.mesh[[50, 280, 205, 425], :2]).astype(int)
    x, y = np.clip(points, 0, face.image.shape[0] - 1).T
    return np.asarray(np.median(face.image[y, x], axis=0) * random.uniform(0.75, 1.15))


def _painted(image: ImageU8, covered: ImageU8, paint: Points) -> ImageU8:
    share = covered[..., None].astype(np.float32) / 255
    mixed = image * (1 - share) + np.clip(paint, 0, 255) * share
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _polygon(shape: tuple[int, ...], outline: Points) -> ImageU8:
    covered = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(covered, [np.round(outline).astype(np.int32)], (255.0,), cv2.LINE_AA)
    return covered


def _ellipse(shape: tuple[int, ...], middle: Points, size: Points, angle: float) -> ImageU8:
    covered = np.zeros(shape[:2], np.uint8)
    axes = (float(2 * size[0]), float(2 * size[1]))
    cv2.ellipse(covered, ((float(middle[0]), float(middle[1])), axes, angle), (255.0,), -1)
    return covered


def _box(shape: tuple[int, ...], middle: Points, size: Points, angle: float) -> ImageU8:
    sides = (float(2 * size[0]), float(2 * size[1]))
    corners = cv2.boxPoints(((float(middle[0]), float(middle[1])), sides, angle))
    return _polygon(shape, np.asarray(corners, np.float64))


def _span(mesh: Float32Array) -> float:
    corners = mesh[[eye.outer_corner for eye in EYES], :2]
    return max(float(np.linalg.norm(corners[1] - corners[0])), 4.0)


def _colour(random: np.random.Generator, low: float, high: float) -> Points:
    return np.asarray(np.clip(random.uniform(low, high) + random.normal(0, 12, 3), 0, 255))
