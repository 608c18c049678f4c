"""Warping error: how much a video changes beyond what its content moves.

Lai et al.: Learning Blind Video Temporal Consistency, ECCV 2018: each frame is compared with the
one before, moved along the optical flow of the truth, where the flow is to be trusted. Noise and
light change the truth too, so its own error stands beside.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.clips.faces import Float32Array, ImageU8

FloatArray = NDArray[np.float64]

# Forward-backward check of Sundaram et al., ECCV 2010, in the form that Lai et al. use.
LARGEST_SHARE, LARGEST_PX2 = 0.01, 0.5


@dataclass(frozen=True)
class ClipMotion:
    """Motion between the frames of a clip of N."""

    before: Float32Array  # (N-1,S,S,2) px: where each pixel of frames 1.. was one frame earlier
    trusted: NDArray[np.bool_]  # (N-1,S,S) whether it was to be seen there


def clip_motion(images: ImageU8) -> ClipMotion:
    """Motion of a clip (N,S,S,3) BGR by dense inverse search (Kroeger et al., ECCV 2016)."""
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grid = _grid(images.shape[1])
    before, trusted = [], []
    for earlier, later in itertools.pairwise(grey):
        backward = np.asarray(search.calc(later, earlier, np.zeros_like(grid)), np.float32)
        forward = np.asarray(search.calc(earlier, later, np.zeros_like(grid)), np.float32)
        before.append(grid + backward)
        trusted.append(_agree(backward, _looked_up(forward, grid + backward), grid))
    return ClipMotion(np.stack(before), np.stack(trusted))


def warping_errors(
    images: ImageU8, motion: ClipMotion, hidden: NDArray[np.uint8] | None = None
) -> FloatArray:
    """Mean squared difference to the moved frame before, (N-1,), of values in 0..1.

    Over the trusted pixels, or over those where `hidden` (N,S,S) is 1 too; NaN where there is none.
    """
    errors = np.full(len(images) - 1, np.nan)
    for index, (before, trusted) in enumerate(zip(motion.before, motion.trusted, strict=True)):
        counted = trusted if hidden is None else trusted & (hidden[index + 1] != 0)
        if counted.any():
            moved = _looked_up(images[index].astype(np.float32), before)
            difference = (images[index + 1].astype(np.float32) - moved)[counted] / 255
            errors[index] = float(np.square(difference).mean())
    return errors


def _agree(backward: Float32Array, forward: Float32Array, grid: Float32Array) -> NDArray[np.bool_]:
    """(S,S) whether going back and forth leads home, and stays in the picture."""
    lengths = np.square(backward).sum(-1) + np.square(forward).sum(-1)
    astray = np.square(backward + forward).sum(-1) > LARGEST_SHARE * lengths + LARGEST_PX2
    source = grid + backward
    inside = ((source >= 0) & (source <= len(grid) - 1)).all(-1)
    return np.asarray(inside & ~astray, np.bool_)


def _looked_up(image: Float32Array, places: Float32Array) -> Float32Array:
    moved = cv2.remap(image, places, np.empty(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _grid(size_px: int) -> Float32Array:
    axis = np.arange(size_px, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), -1)
