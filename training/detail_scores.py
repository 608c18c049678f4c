"""How a fill looks at the frame's resolution: with the views' own detail, or merely enlarged.

Every fifth frame of a clip is filled at a half and at a quarter of its resolution and composited by
the product's code. The clips are 256 px: a quarter stands in for a 128 px fill of a 512 px face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from torch import nn

from edge.composite import composite, open_hole
from models.alignment import cut_crop
from models.filling import DetailedFiller, Filler
from training.bank_protocol import BankClip
from training.coverings import headset_mask
from training.faces import Float32Array, ImageU8
from training.metrics import FrameScores, score_frames, summarise

FRAME_STEP = 5
WAYS = ("bicubic", "detail")


@dataclass
class WayScores:
    """What one way of enlarging scored, clip by clip."""

    clips: list[FrameScores] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)  # energy in the hole over the truth's


def score_detail(
    clip: BankClip,
    filler: Filler,
    size_px: int,
    distance: nn.Module | None,
    scores: Mapping[str, WayScores],
) -> None:
    """Add one clip to `scores`, by `WAYS`; `filler` works on crops of `size_px`.

    Raises:
        ValueError: if the filler cannot tell what its fills are made of.
    """
    if not isinstance(filler, DetailedFiller):
        raise ValueError(f"filler '{filler.name}' has no detail to carry over")
    filler.reset()
    frames, meshes = clip.images[::FRAME_STEP], clip.meshes[::FRAME_STEP]
    masks = [headset_mask(mesh, frames.shape[1]) for mesh in meshes]
    pairs = [
        _restored(filler, frame, mesh, mask, size_px)
        for frame, mesh, mask in zip(frames, meshes, masks, strict=True)
    ]
    hidden = np.stack(masks)
    for way, pictures in zip(WAYS, zip(*pairs, strict=True), strict=True):
        shown = np.stack(pictures)
        scores[way].clips.append(score_frames(shown, frames, hidden, distance))
        energy = gradient_energy(shown, hidden) / np.maximum(gradient_energy(frames, hidden), 1e-9)
        scores[way].gradient.append(float(energy.mean()))


def gradient_energy(images: ImageU8, hidden: ImageU8) -> Float32Array:
    """Mean squared gradient of the brightness inside the hole, (N,) of 8-bit steps per px."""
    energies = []
    for image, mask in zip(images, hidden, strict=True):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, ksize=1) / 2 for way in ((1, 0), (0, 1)))
        inside = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0  # no gradient of the border
        energies.append(float((across**2 + down**2)[inside].mean()))
    return np.array(energies, np.float32)


def summary(scores: Mapping[str, WayScores]) -> dict[str, Any]:
    """Means over clips by way, `gradient_ratio` among them."""
    return {
        way: summarise(found.clips) | {"gradient_ratio": float(np.mean(found.gradient))}
        for way, found in scores.items()
    }


def _restored(
    filler: DetailedFiller, frame: ImageU8, mesh: Float32Array, mask: ImageU8, size_px: int
) -> tuple[ImageU8, ImageU8]:
    """One frame with the fill enlarged bicubically, and with detail."""
    scale = len(frame) / size_px
    corner = 0.5 * scale - 0.5
    frame_from_crop = np.array([[scale, 0, corner], [0, scale, corner]], np.float32)
    hole = open_hole(mask, frame_from_crop, size_px)
    covered = frame * (1 - mask)[..., None]
    crop = cut_crop(covered, frame_from_crop, size_px)
    filled = filler.fill(crop, hole.crop_hidden, mesh / np.float32(scale))
    enlarged = cv2.resize(filled, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    as_it_is = dataclasses.replace(hole, frame_from_crop=np.eye(2, 3, dtype=np.float32))
    bicubic = composite(covered, np.asarray(enlarged, np.uint8), as_it_is)
    return bicubic, composite(covered, filled, hole, filler.detail)
