"""What the field does to references and landmarks: other light, soft pictures, eyes unseen."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, LEFT_SIDE, RIGHT_SIDE
from models.reference import Reference
from training.recipes.schema import BEST_JPEG_QUALITY, Augmentation

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

PUBLISHED_PX = 128  # sizes in px are said for this crop
NOISE_MEMORY = 0.8  # of the noise of the frame before: trackers err alike for some frames
STEADY_SHARE = 0.5  # of the noise's variance that stays for the whole stream
BLINK_SHARE = 0.6  # of the usual opening: narrower lids are a blink or a look down
FEWEST_POINTS = 8  # for a pose by what is visible


def varied_reference(
    reference: Reference, settings: Augmentation, random: np.random.Generator
) -> Reference:
    """`reference` as another camera, another light or a saved file would have given it."""
    image = reference.image
    if random.random() < settings.tint_share:
        tint = 1 + random.uniform(-settings.largest_tint, settings.largest_tint, 3)
        image = np.clip(image * tint, 0, 255).astype(np.uint8)
    if random.random() < settings.blur_share:
        sigma = random.uniform(0.2, 1) * settings.largest_blur_px * len(image) / PUBLISHED_PX
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    if random.random() < settings.jpeg_share:
        quality = int(random.integers(settings.lowest_jpeg_quality, BEST_JPEG_QUALITY))
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return dataclasses.replace(reference, image=image)


def varied_meshes(
    meshes: Float32Array,
    hidden: NDArray[np.uint8],
    reference: Float32Array,
    settings: Augmentation,
    random: np.random.Generator,
) -> Float32Array:
    """The meshes (T,478,3) as a tracker knows them: points under `hidden` (T,S,S) may be off.

    With dropout they do not follow the face: the mesh of the reference (478,3), posed by what is
    visible. With noise they are off by up to `landmark_noise` face widths (σ, each coordinate).
    """
    dropped = random.random() < settings.landmark_dropout_share
    noisy = random.random() < settings.landmark_noise_share
    if not dropped and not noisy:
        return meshes
    under = np.stack([_under(mesh, mask) for mesh, mask in zip(meshes, hidden, strict=True)])
    given = meshes.copy()
    if dropped:
        for mesh, covered in zip(given, under, strict=True):
            _pose_hidden(mesh, covered, reference)
    if noisy:
        width = np.linalg.norm(meshes[:, RIGHT_SIDE, :2] - meshes[:, LEFT_SIDE, :2], axis=1).mean()
        sigma = random.uniform(0.25, 1) * settings.landmark_noise * float(width)
        given[..., :2] += under[..., None] * _noise(given[..., :2].shape, random) * sigma
    return np.asarray(given, np.float32)


def blinks(meshes: Float32Array) -> NDArray[np.intp]:
    """Frames of a clip (T,478,3) whose eyes are much narrower than they usually are."""
    openings = []
    for eye in EYES:
        upper, lower = meshes[:, eye.upper_lid[1:-1], :2], meshes[:, eye.lower_lid[1:-1], :2]
        gap = np.linalg.norm(upper - lower, axis=2).mean(1)
        corners = meshes[:, (eye.inner_corner, eye.outer_corner), :2]
        openings.append(gap / np.maximum(np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1), 1))
    opening = np.mean(openings, 0)
    return np.flatnonzero(opening < BLINK_SHARE * np.median(opening))


def _under(mesh: Float32Array, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which points (478,) of a mesh lie under the mask (S,S)."""
    x, y = np.clip(np.rint(mesh[:, :2]).astype(int), 0, len(mask) - 1).T
    return np.asarray(mask[y, x] != 0)


def _pose_hidden(mesh: Float32Array, covered: NDArray[np.bool_], reference: Float32Array) -> None:
    """Replace the covered points, in place, by the reference's, moved as the others moved."""
    if not covered.any() or np.count_nonzero(~covered) < FEWEST_POINTS:
        return
    places = np.column_stack([reference, np.ones(len(reference), np.float32)])
    # Affine, least squares over what is visible (478-n points, 4 x 3 unknowns).
    moved, *_ = np.linalg.lstsq(places[~covered], mesh[~covered], rcond=None)
    mesh[covered] = places[covered] @ moved


def _noise(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Unit variance, (T,P,2): a part that stays, and one that drifts from frame to frame."""
    drift = random.standard_normal(shape)
    for frame in range(1, shape[0]):
        fresh = np.sqrt(1 - NOISE_MEMORY**2)
        drift[frame] = NOISE_MEMORY * drift[frame - 1] + fresh * drift[frame]
    steady = random.standard_normal(shape[1:])
    return np.asarray(np.sqrt(STEADY_SHARE) * steady + np.sqrt(1 - STEADY_SHARE) * drift)
