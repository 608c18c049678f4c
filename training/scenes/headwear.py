"""Things that people wear with and without a headset: what must not be taken for a part of it.

The same seed and two pictures of one person give the same thing in both, as it is in a session,
whose bare picture shows the wearer with the same cap and the same headphones.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.head_pose import HeadPose, head_pose
from training.scenes.face_props import plain_colour, put_headphones_on

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

SHIFT = 3  # fractional bits of cv2's drawing coordinates
CAP_SHARE = 0.6  # of the things worn; the others are headphones
CROWN_RINGS, CROWN_POINTS, BRIM_POINTS = 6, 24, 16


def put_headwear_on(image: ImageU8, mesh: Float32Array, seed: int) -> ImageU8:
    """A copy of (S,S,3) BGR in which the head of the (478,3) px mesh wears a cap or headphones."""
    random = np.random.default_rng(seed)
    if random.random() < CAP_SHARE:
        return put_cap_on(image, mesh, random)
    return put_headphones_on(image, mesh, random)


def put_cap_on(image: ImageU8, mesh: Float32Array, random: np.random.Generator) -> ImageU8:
    """A cap: a crown over the hair, mostly with a brim before the forehead."""
    pose = head_pose(mesh)
    edge = -random.uniform(0.35, 0.7)  # spans above the eyes
    half = pose.half_face_width * random.uniform(1.1, 1.4)
    cloth, brim = (_cloth(random) for _ in range(2))
    if random.random() < 0.6:
        brim = cloth
    image = _shaded(image, _crown(pose, half, edge, random), cloth, random)
    if random.random() < 0.8:
        image = _shaded(image, _brim(pose, half, edge, random), brim, random)
    return image


def _cloth(random: np.random.Generator) -> tuple[float, float, float]:
    """A colour, half of the time a dark one: that is what dark headsets are taken for."""
    return plain_colour(random, 5, 60 if random.random() < 0.5 else 240)


def _crown(pose: HeadPose, half: float, edge: float, random: np.random.Generator) -> FloatArray:
    """Points (N,2) px on half an ellipsoid over the head."""
    height, depth = random.uniform(0.55, 1.0), random.uniform(0.9, 1.1) * half
    up, around = np.meshgrid(
        np.linspace(0, np.pi / 2, CROWN_RINGS), np.linspace(0, 2 * np.pi, CROWN_POINTS)
    )
    points = np.stack(
        [
            half * np.cos(up) * np.cos(around),
            edge - height * np.sin(up),
            depth * (1 + np.cos(up) * np.sin(around)),  # it begins above the forehead
        ],
        axis=-1,
    )
    return pose.project(points.reshape(-1, 3))


def _brim(pose: HeadPose, half: float, edge: float, random: np.random.Generator) -> FloatArray:
    """Points (N,2) px around a plate that stands out before the forehead."""
    reach, droop = random.uniform(0.4, 0.9), random.uniform(-0.05, 0.35)
    turn = np.linspace(0, np.pi, BRIM_POINTS)
    width = half * random.uniform(0.8, 1.05)
    out = reach * np.sin(turn)
    points = np.stack([width * np.cos(turn), edge + droop * out, 0.1 - out], axis=-1)
    thick = points + np.array([0, random.uniform(0.03, 0.08), 0])
    return pose.project(np.concatenate([points, thick]))


def _shaded(
    image: ImageU8,
    points: FloatArray,
    colour: tuple[float, float, float],
    random: np.random.Generator,
) -> ImageU8:
    """The convex hull of points (N,2) px filled, lighter or darker towards one side."""
    shape = np.zeros(image.shape[:2], np.uint8)
    limited = np.clip(points, -4 * image.shape[1], 4 * image.shape[1])
    hull = cv2.convexHull(np.round(limited * (1 << SHIFT)).astype(np.int32))
    cv2.fillConvexPoly(shape, hull, (255.0,), cv2.LINE_AA, SHIFT)
    rows = np.flatnonzero(shape.any(axis=1))
    if not len(rows):
        return image
    ramp = np.ones(len(image), np.float32)
    above, below = random.uniform(0.6, 1.3, 2)
    ramp[rows] = np.linspace(above, below, num=len(rows))
    share = shape[..., None].astype(np.float32) / 255
    painted = np.clip(np.asarray(colour, np.float32) * ramp[:, None, None], 0, 255)
    return np.asarray(image * (1 - share) + painted * share, np.uint8)
