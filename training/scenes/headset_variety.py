"""One headset model worn in many ways: other colours and light, not quite straight."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from models.face.mesh import FACE_OVAL, LEFT_EYE, RIGHT_EYE

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


def repainted(patch: Patch, picture: ImageU8, random: np.random.Generator) -> Patch:
    """The patch in another colour and light, perhaps with something reflected in it."""
    alpha = patch.alpha.astype(np.float32)[..., None] / 255
    colour = patch.colour.astype(np.float32)
    if random.random() < 0.25:
        colour = 255 * alpha - colour  # a white model becomes a black one
    if random.random() < 0.7:
        tint = random.uniform(0.75, 1.25, 3) if random.random() < 0.5 else 1.0
        contrast = random.uniform(0.5, 1.3)
        level = random.uniform(-50, 60)
        colour = (colour * contrast + level * alpha) * tint
    height, width = patch.alpha.shape
    if random.random() < 0.35 and height > 8 and width > 8:
        top, left = random.integers(0, picture.shape[0] // 2, 2)
        corner = picture[top : top + 90, left : left + 60]  # no whole face shows in the gloss
        shown = cv2.resize(cv2.blur(corner, (9, 9)), (width, height))
        share = random.uniform(0.05, 0.45)
        colour = colour * (1 - share) + share * shown * alpha
    if random.random() < 0.4:
        above, below = random.uniform(0.6, 1.35, 2)
        ramp = np.linspace(above, below, num=height, dtype=np.float32)
        colour = colour * ramp[:, None, None]
    colour = np.clip(colour, 0, 255 * alpha)
    return Patch(patch.left, patch.top, colour.astype(np.uint8), patch.alpha)


def blending_in(
    patch: Patch, image: ImageU8, mesh: Float32Array, random: np.random.Generator
) -> Patch:
    """The patch in the colour of the hair, the cap or the wall beside the face (H,W,3)."""
    oval = mesh[list(FACE_OVAL[:-1]), :2]
    place = oval[int(random.integers(len(oval)))]
    x, y = np.round(oval.mean(0) + random.uniform(1.0, 1.5) * (place - oval.mean(0))).astype(int)
    beside = image[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].reshape(-1, 3)
    inside = patch.alpha > 250
    if not beside.size or not inside.any():
        return patch
    usual = np.median(patch.colour[inside], axis=0)
    change = (np.median(beside, axis=0) - usual) * random.uniform(0.7, 1.0)
    alpha = patch.alpha.astype(np.float32)[..., None] / 255
    colour = np.clip(patch.colour + change * alpha, 0, 255 * alpha)
    return Patch(patch.left, patch.top, colour.astype(np.uint8), patch.alpha)


def shaken(mesh: Float32Array, random: np.random.Generator) -> Float32Array:
    """The pose that the headset is drawn in: nobody wears it exactly as the drawing assumes."""
    yaw, pitch, roll = np.radians(random.normal(0, (6, 5, 2.5)))
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    turn_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    centre = mesh.mean(axis=0)
    span = float(np.linalg.norm(mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2]))
    stretch = np.exp(random.normal(0, 0.06, 3)) * np.exp(random.normal(0.03, 0.06))
    shift = np.array([*(random.normal(0, (0.04, 0.05)) * span), 0.0])
    turned = (mesh - centre) * stretch @ (turn_z @ turn_y @ turn_x).T
    return np.asarray(turned + centre + shift, np.float32)
