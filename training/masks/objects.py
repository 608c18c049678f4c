"""Things that pass in front of a face: a hand, a microphone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import LEFT_EYE, RIGHT_EYE
from training.masks.source import Float32Array, MaskU8
from training.scenes.face_props import hand_over

HAND_SHARE = 0.6  # of clips; the others show a microphone
SPEED = 0.05  # of the eye span and per frame, standard deviation of a change
REACH = 0.7  # of the eye span: farther from where it began it is pulled back
HEAD, STICK = (0.18, 0.32), (0.07, 0.14)  # of a microphone, shares of the eye span
DRAWN_PX = 256  # whatever the crop's side, so that every size shows the same
SEEDS = 1 << 31
SHIFT = 3  # fractional bits of cv2's coordinates


@dataclass(frozen=True)
class PassingObject:
    """One hand or microphone per clip, which wanders over the face on its own."""

    def masks(self, meshes: Float32Array, size_px: int, random: np.random.Generator) -> MaskU8:
        """See `MaskSource.masks`."""
        first = np.asarray(meshes[0], np.float32) * np.float32(DRAWN_PX / size_px)
        across = first[LEFT_EYE.outer_corner, :2] - first[RIGHT_EYE.outer_corner, :2]
        way = _way(len(meshes), random) * max(float(np.linalg.norm(across)), 1.0)
        draw = _hand if random.random() < HAND_SHARE else _microphone
        seed = int(random.integers(SEEDS))  # the same thing in every frame
        masks = []
        for offset in way:
            moved = first.copy()
            moved[:, :2] += offset.astype(np.float32)
            masks.append(_sized(draw(moved, np.random.default_rng(seed)), size_px))
        return np.stack(masks)


def _way(frames: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(T,2) offsets in eye spans: a random walk of the speed, pulled back from afar."""
    place, speed = np.zeros(2), random.normal(0, SPEED, 2)
    places = []
    for _ in range(frames):
        places.append(place)
        speed = 0.9 * speed + random.normal(0, SPEED, 2) - 0.05 * place * (abs(place) > REACH)
        place = place + speed
    return np.stack(places)


def _sized(mask: MaskU8, size_px: int) -> MaskU8:
    share = cv2.resize(mask * np.uint8(255), (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(share > 127, np.uint8)


def _hand(mesh: Float32Array, random: np.random.Generator) -> MaskU8:
    whole = np.full((DRAWN_PX, DRAWN_PX), 255, np.uint8)
    _, left = hand_over(np.zeros((DRAWN_PX, DRAWN_PX, 3), np.uint8), whole, mesh, random)
    return np.asarray(left < 128, np.uint8)


def _microphone(mesh: Float32Array, random: np.random.Generator) -> MaskU8:
    """A round head in front of the mouth, and what holds it."""
    span = float(np.linalg.norm(mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2]))
    mouth = mesh[[13, 14], :2].mean(axis=0)
    head = mouth + random.uniform((-0.4, -0.1), (0.4, 0.5)) * span
    lean = random.uniform(-0.8, 0.8)
    end = head + np.array([lean, 1.0]) * 4 * span
    mask = np.zeros((DRAWN_PX, DRAWN_PX), np.uint8)
    points = [
        (int(x), int(y)) for x, y in np.rint(np.stack([head, end]) * (1 << SHIFT)).astype(int)
    ]
    thick = max(1, round(span * random.uniform(*STICK)))
    cv2.line(mask, points[0], points[1], (1,), thick, cv2.LINE_8, SHIFT)
    radius = max(1, round(span * random.uniform(*HEAD) * (1 << SHIFT)))
    cv2.circle(mask, points[0], radius, (1,), -1, cv2.LINE_8, SHIFT)
    return mask
