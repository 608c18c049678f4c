"""From labelled eye images to what EyeNet is taught: moved, lit anew, and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.eyes.contract import SIZE_PX
from models.eyes.ellipse import moments_of, moved_moments
from models.eyes.fit import input_from_image
from models.eyes.network import MASK_PX, MASKS
from training.eyes.samples import IRIS, PUPIL, SCLERA, EyeSample
from training.eyes.variety import seen_by_another_camera

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
ImageU8 = NDArray[np.uint8]

LEAST_IN_VIEW = 0.5  # share of an eye's points in view from which it is fully one


@dataclass(frozen=True)
class EyeTargets:
    """A batch; shares of the image's side, as in the contract. Weights are 0 where not known."""

    eye: Tensor  # (B,1,S,S) uint8
    lids: Tensor  # (B,2,9,2)
    lid_weights: Tensor  # (B,2,9)
    pupil: Tensor  # (B,5)
    pupil_weight: Tensor  # (B,)
    iris: Tensor  # (B,5)
    iris_weight: Tensor  # (B,)
    masks: Tensor  # (B,3,S/2,S/2) 0..255 uint8
    mask_weights: Tensor  # (B,3)
    blink: Tensor  # (B,)
    blink_weight: Tensor  # (B,)
    confidence: Tensor  # (B,)


@dataclass(frozen=True)
class Placed:
    """One sample as the network gets it."""

    image: ImageU8  # (S,S)
    lids: Float32Array | None  # (2,9,2) px of it
    pupil: FloatArray | None  # (5,) centre and moments, px
    iris: FloatArray | None
    masks: ImageU8  # (3,S/2,S/2)
    sample: EyeSample
    confidence: float


def placed(sample: EyeSample, random: np.random.Generator | None = None) -> Placed:
    """Fit a sample in; with `random`, moved, turned, mirrored and lit anew."""
    height, width = sample.image.shape
    if random is not None and random.random() < 0.5:
        sample = mirrored(sample)
    input_from_sample = input_from_image(width, height)
    if random is not None:
        input_from_sample = _shaken(input_from_sample, random)
    image = _moved(sample.image, input_from_sample, random)
    turn, shift = input_from_sample[:, :2], input_from_sample[:, 2]
    lids = None
    if sample.lids is not None:
        lids = np.asarray(sample.lids @ turn.T + shift, np.float32)
    pupil, iris = (
        None if ellipse is None else moved_moments(moments_of(ellipse), input_from_sample)
        for ellipse in (sample.pupil, sample.iris)
    )
    if random is not None:
        image = seen_by_another_camera(image, lids, random)
    in_view = _in_view(lids, pupil)
    return Placed(
        image=image,
        lids=lids,
        pupil=pupil,
        iris=iris,
        masks=_masks(sample, input_from_sample),
        sample=sample,
        confidence=sample.confidence * min(1.0, in_view / LEAST_IN_VIEW),
    )


def mirrored(sample: EyeSample) -> EyeSample:
    """The eye of the other side; lids still run from the image's left to its right."""
    last = sample.image.shape[1] - 1
    lids = sample.lids
    if lids is not None:
        lids = lids[:, ::-1] * np.array([-1, 1], np.float32) + np.array([last, 0], np.float32)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        labels=None if sample.labels is None else np.ascontiguousarray(sample.labels[:, ::-1]),
        lids=lids,
        lid_weights=sample.lid_weights[:, ::-1],
        pupil=_mirrored_ellipse(sample.pupil, last),
        iris=_mirrored_ellipse(sample.iris, last),
    )


def stacked(items: Sequence[Placed]) -> EyeTargets:
    """A batch of them."""
    lids = np.zeros((len(items), 2, 9, 2), np.float32)
    lid_weights = np.zeros((len(items), 2, 9), np.float32)
    ellipses = np.zeros((2, len(items), 5), np.float32)
    weights = np.zeros((2, len(items)), np.float32)
    for index, item in enumerate(items):
        if item.lids is not None:
            lids[index] = (item.lids + 0.5) / SIZE_PX
            lid_weights[index] = item.sample.lid_weights
        for kind, ellipse in enumerate((item.pupil, item.iris)):
            if ellipse is not None:
                ellipses[kind, index, :2] = (ellipse[:2] + 0.5) / SIZE_PX
                ellipses[kind, index, 2:] = ellipse[2:] / SIZE_PX**2
                weights[kind, index] = 1.0
    samples = [item.sample for item in items]
    blinks = [sample.blink for sample in samples]
    is_eye = [sample.confidence > 0 for sample in samples]
    known = [
        [has or not seen for has in sample.known_masks]
        for sample, seen in zip(samples, is_eye, strict=True)
    ]
    return EyeTargets(
        eye=torch.from_numpy(np.stack([item.image for item in items])[:, None]),
        lids=torch.from_numpy(lids),
        lid_weights=torch.from_numpy(lid_weights),
        pupil=torch.from_numpy(ellipses[0]),
        pupil_weight=torch.from_numpy(weights[0]),
        iris=torch.from_numpy(ellipses[1]),
        iris_weight=torch.from_numpy(weights[1]),
        masks=torch.from_numpy(np.stack([item.masks for item in items])),
        mask_weights=torch.tensor(known, dtype=torch.float32),
        blink=torch.tensor([blink or 0.0 for blink in blinks]),
        blink_weight=torch.tensor([float(blink is not None) for blink in blinks]),
        confidence=torch.tensor([item.confidence for item in items]),
    )


def _shaken(input_from_sample: FloatArray, random: np.random.Generator) -> FloatArray:
    """Turn by up to 30°, zoom, stretch and shift about the middle of the input."""
    angle = np.radians(random.uniform(-30, 30) * random.choice([0.3, 1.0]))
    zoom = np.exp(random.uniform(-0.3, 0.3))
    stretch = np.exp(random.normal(0, 0.06))
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    turn = np.array([[cos * stretch, -sin / stretch], [sin * stretch, cos / stretch]])
    middle = np.full(2, (SIZE_PX - 1) / 2)
    shift = middle - turn @ middle + random.normal(0, 0.07 * SIZE_PX, 2)
    moved = turn @ input_from_sample
    moved[:, 2] += shift
    return np.asarray(moved)


def _moved(
    image: ImageU8, input_from_sample: FloatArray, random: np.random.Generator | None
) -> ImageU8:
    scale = float(np.sqrt(abs(np.linalg.det(input_from_sample[:, :2]))))
    if scale < 0.75:  # a warp alone would skip pixels
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.uint8)
    stretched = random is not None and random.random() < 0.35
    return np.asarray(
        cv2.warpAffine(
            image,
            input_from_sample,
            (SIZE_PX, SIZE_PX),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE if stretched else cv2.BORDER_CONSTANT,
            borderValue=cv2.mean(image),
        ),
        np.uint8,
    )


def _masks(sample: EyeSample, input_from_sample: FloatArray) -> ImageU8:
    """(3,S/2,S/2) coverage by visible pupil, iris (with pupil) and opening (with both)."""
    masks = np.zeros((MASKS, MASK_PX, MASK_PX), np.uint8)
    if sample.labels is None:
        return masks
    layers = np.stack([sample.labels >= value for value in (PUPIL, IRIS, SCLERA)], axis=-1)
    moved = cv2.warpAffine(
        layers.astype(np.uint8) * np.uint8(255), input_from_sample, (SIZE_PX, SIZE_PX)
    )
    small = cv2.resize(moved, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.moveaxis(small, 2, 0))


def _in_view(lids: Float32Array | None, pupil: FloatArray | None) -> float:
    if lids is not None:
        points = lids.reshape(-1, 2)
    elif pupil is not None:
        points = pupil[None, :2].astype(np.float32)
    else:
        return 1.0
    return float(((points >= 0) & (points < SIZE_PX)).all(axis=1).mean())


def _mirrored_ellipse(ellipse: Float32Array | None, last: int) -> Float32Array | None:
    if ellipse is None:
        return None
    x, y, first, second, angle = (float(value) for value in ellipse)
    return np.array([last - x, y, first, second, -angle], np.float32)
