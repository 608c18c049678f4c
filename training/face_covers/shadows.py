"""Shadows on a bare face: a cap's brim, a hand above the eyes, hair. Nothing is covered by them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, FOREHEAD_TOP, LEFT_SIDE, NOSE_TIP, RIGHT_SIDE

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

DARKEST, LIGHTEST = 0.25, 0.85  # of the light that a shadow leaves
MOST_BLUR = 0.12  # of the face's width: a soft edge


def brim_shadow(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """Darken a face (S,S,3) from above: down to somewhere between the brows and the nose's tip.

    Args:
        image: BGR.
        mesh: (478,3) px of it.
        random: draws depth, edge, curve and the shadow's tint.
    """
    points = mesh[:, :2].astype(np.float64)
    across = points[LEFT_SIDE] - points[RIGHT_SIDE]
    width = max(float(np.linalg.norm(across)), 1.0)
    brow = points[[eye.upper_lid[4] for eye in EYES]].mean(axis=0)
    brow = brow + 0.3 * (points[FOREHEAD_TOP] - brow)
    edge = brow + random.uniform(0.0, 1.0) * (points[NOSE_TIP] - brow)
    tilt, bend = random.normal(0, 0.08), random.uniform(-0.2, 0.3)
    share = np.linspace(-1.2, 1.2, 25)
    down = np.array([-across[1], across[0]]) / width
    line = (
        edge
        + share[:, None] * across / 2
        + np.outer(tilt * share + bend * share**2, down) * (width / 2)
    )
    far = 3 * width * down
    outline = np.concatenate([line, [line[-1] - far, line[0] - far]])
    shadow = np.zeros(image.shape[:2], np.float32)
    cv2.fillPoly(shadow, [np.round(outline).astype(np.int32)], (1.0,), cv2.LINE_AA)
    blur = max(0.6, random.uniform(0.005, MOST_BLUR) * width)
    shadow = np.asarray(cv2.GaussianBlur(shadow, (0, 0), blur), np.float32)
    left = random.uniform(DARKEST, LIGHTEST) * np.exp(random.normal(0, 0.06, 3))
    light = 1 - shadow[..., None] * (1 - left)
    return np.asarray(np.clip(image * light, 0, 255), np.uint8)
