"""What makes masks hard to tell: beards that look out beneath them, prints of anything on them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from models.face.mesh import CHIN, JAW, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER, NOSE_BASE, NOSE_ROOT

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

GREY_SHARE = 0.25  # of the beards
FUZZ = 0.35  # how far noise moves a beard's edge, as a share of its softness
USUAL_LIGHT = 128.0  # 8-bit steps


def beard_on(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """A beard round jaw and chin, stubble to full, that hangs below the face."""
    size = float(np.linalg.norm(mesh[CHIN, :2] - mesh[NOSE_ROOT, :2]))
    if size < 4:
        return image
    height, width = image.shape[:2]
    grown = _grown((height, width), mesh, size, random)
    rough = cv2.blur(random.standard_normal((height, width), np.float32), (2, 5))
    edge = cv2.GaussianBlur(grown, (0, 0), max(size * random.uniform(0.015, 0.06), 0.5))
    thick = np.clip((edge + FUZZ * rough * edge * (1 - edge) * 4 - 0.5) * 4 + 0.5, 0, 1)
    share = (thick * random.uniform(0.55, 1.0))[..., None]
    light = random.uniform(90, 200) if random.random() < GREY_SHARE else random.uniform(8, 75)
    tint = np.array([random.uniform(0.6, 1), random.uniform(0.75, 1), 1], np.float32)
    hair = light * tint * (1 + random.uniform(0.1, 0.6) * rough[..., None])
    return np.asarray(np.clip(image * (1 - share) + hair * share + 0.5, 0, 255), np.uint8)


def _grown(
    shape: tuple[int, int], mesh: Float32Array, size: float, random: np.random.Generator
) -> Float32Array:
    """(H,W) 1 = where the beard grows."""
    points = mesh[:, :2]
    down = (points[CHIN] - points[NOSE_ROOT]) / size
    jaw, nose = points[list(JAW)], points[list(NOSE_BASE)].mean(axis=0)
    share = np.sin(np.linspace(0, np.pi, len(jaw)))[:, None]  # none at the ears, all at the chin
    outer = jaw + down * share**2 * size * random.uniform(0.0, 0.4)
    reach = random.uniform(0.12, 0.35) + share * random.uniform(0.2, 0.5)
    inner = jaw + reach * (nose - jaw)
    grown = np.zeros(shape, np.float32)
    cv2.fillPoly(grown, [np.round(np.concatenate([outer, inner[::-1]])).astype(np.int32)], (1.0,))
    lips = points[[*LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER[::-1]]]
    cv2.fillPoly(grown, [np.round(lips).astype(np.int32)], (0.0,))
    return grown


def photo_printed(patch: Patch, picture: ImageU8, random: np.random.Generator) -> Patch:
    """The patch with a piece of a picture (H,W,3) printed on it, in colours of its own.

    The cloth's folds stay. What a picture shows has any shapes and sizes, even a face's.
    """
    height, width = patch.alpha.shape
    if not (height and width):
        return patch
    print_ = _piece(picture, (width, height), random)
    alpha = patch.alpha.astype(np.float32)[..., None] / 255
    light = cv2.cvtColor(patch.colour, cv2.COLOR_BGR2GRAY).astype(np.float32)[..., None]
    usual = max(float(light[patch.alpha > 250].mean()) if (patch.alpha > 250).any() else 0, 8.0)
    share = random.uniform(0.6, 1.0)
    dyed = print_ * (light / usual) * (USUAL_LIGHT / max(float(print_.mean()), 8.0)) ** 0.3
    colour = patch.colour * (1 - share) + dyed * share
    limit = 255 * alpha
    return Patch(patch.left, patch.top, np.clip(colour, 0, limit).astype(np.uint8), patch.alpha)


def _piece(picture: ImageU8, size: tuple[int, int], random: np.random.Generator) -> Float32Array:
    """A square of a picture, turned and dyed, at a size (width, height)."""
    side = int(random.uniform(0.12, 0.7) * min(picture.shape[:2]))
    top, left = (int(random.integers(limit - side + 1)) for limit in picture.shape[:2])
    piece = np.rot90(picture[top : top + side, left : left + side], int(random.integers(4)))
    piece = np.ascontiguousarray(piece[..., random.permutation(3)])
    if random.random() < 0.5:
        hues = cv2.cvtColor(piece, cv2.COLOR_BGR2HSV)
        hues[..., 0] = (hues[..., 0].astype(int) + int(random.integers(180))) % 180
        hues[..., 1] = np.clip(hues[..., 1] * random.uniform(0.5, 2.5), 0, 255)
        piece = np.asarray(cv2.cvtColor(hues, cv2.COLOR_HSV2BGR), np.uint8)
    if random.random() < 0.3:
        piece = np.asarray(255 - piece, np.uint8)
    if random.random() < 0.4:  # printed in few flat colours
        steps = int(random.integers(60, 120))
        piece = np.asarray(cv2.medianBlur(piece, 5) // steps * steps, np.uint8)
    return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_LINEAR), np.float32)
