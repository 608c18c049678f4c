"""How a fill looks at the frame's resolution: with the views' own detail, or merely enlarged.

A frame is filled at a part of its resolution and composited by the product's code, with the fill
enlarged bicubically and with the views' detail. Frames come from clips, where every fifth one
counts, or from portraits (`training.detail.portraits`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge.composite import composite, open_hole
from models.face.alignment import cut_crop
from models.filling import DetailedFiller, Filler
from streaming.errors import UserError
from training.bank_protocol import BankClip
from training.clips.faces import Float32Array, ImageU8
from training.evaluation.images import masked_lpips
from training.evaluation.metrics import FrameScores, score_frames, summarise
from training.masks.coverings import headset_mask

FRAME_STEP = 5
WAYS = ("bicubic", "detail")


@dataclass(frozen=True)
class Shot:
    """One frame of a bare face that will be hidden, and a filler that knows the person."""

    image: ImageU8  # (R,R,3) BGR
    mesh: Float32Array  # (478,3) px
    filler: Filler


@dataclass(frozen=True)
class Restored:
    """Shots before and after, as their scores were taken."""

    truth: ImageU8  # (N,R,R,3)
    hidden: ImageU8  # (N,R,R) 1 = hidden
    shown: dict[str, ImageU8]  # (N,R,R,3) by `WAYS`


@dataclass
class WayScores:
    """What one way of enlarging scored, one entry per group of shots: a clip, or a person."""

    groups: list[FrameScores] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)  # energy in the hole over the truth's
    lpips_masked: list[float] = field(default_factory=list)  # of the hole's box; empty without
    # Both are NaN for a group in which nothing was hidden.

    def means(self, group: int | None = None) -> dict[str, float]:
        """Every score's mean over the groups, or one group's; see docs/DATA.md.

        What cannot be told, since nothing was hidden, is left out.
        """
        chosen = slice(None) if group is None else slice(group, group + 1)
        found = summarise(self.groups[chosen])
        found["gradient_ratio"] = _mean(self.gradient[chosen])
        found["lpips_masked"] = _mean(self.lpips_masked[chosen])
        return {name: value for name, value in found.items() if np.isfinite(value)}


def clip_shots(clip: BankClip, filler: Filler) -> Iterator[Shot]:
    """Every fifth frame of a clip; `filler` starts afresh and knows the clip's views."""
    filler.reset()
    pairs = zip(clip.images[::FRAME_STEP], clip.meshes[::FRAME_STEP], strict=True)
    return (Shot(image, mesh, filler) for image, mesh in pairs)


def score_detail(
    shots: Iterable[Shot],
    size_px: int,
    distance: nn.Module | None,
    scores: Mapping[str, WayScores],
) -> Restored:
    """Add one group of shots to `scores`, by `WAYS`; fillers work on crops of `size_px`.

    The crop is the whole frame; all frames are of one size.

    Raises:
        UserError: if a filler cannot tell what its fills are made of.
    """
    frames, masks, pairs = [], [], []
    for shot in shots:
        frames.append(shot.image)
        masks.append(headset_mask(shot.mesh, len(shot.image)))
        pairs.append(_restored(shot, masks[-1], size_px))
    truth, hidden = np.stack(frames), np.stack(masks)
    of_truth = np.maximum(gradient_energy(truth, hidden), 1e-9)
    shown = dict(zip(WAYS, map(np.stack, zip(*pairs, strict=True)), strict=True))
    for way, pictures in shown.items():
        scores[way].groups.append(score_frames(pictures, truth, hidden, distance))
        scores[way].gradient.append(_mean(gradient_energy(pictures, hidden) / of_truth))
        if distance is not None:
            in_box = masked_lpips(distance, pictures, truth, hidden)
            scores[way].lpips_masked.append(_mean(in_box))
    return Restored(truth, hidden, shown)


def gradient_energy(images: ImageU8, hidden: ImageU8) -> Float32Array:
    """Mean squared gradient of the brightness inside the hole, (N,) of 8-bit steps per px.

    NaN where no pixel is hidden, or none whose neighbours are too.
    """
    energies = []
    for image, mask in zip(images, hidden, strict=True):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
        across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, ksize=1) / 2 for way in ((1, 0), (0, 1)))
        inside = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0  # no gradient of the border
        energies.append(_mean((across**2 + down**2)[inside]))
    return np.array(energies, np.float32)


def summary(scores: Mapping[str, WayScores], group: int | None = None) -> dict[str, Any]:
    """Means over groups, or those of one, by way."""
    return {way: found.means(group) for way, found in scores.items()}


def _mean(values: Sequence[float] | NDArray[np.floating[Any]]) -> float:
    """Of the numbers among `values`; NaN where there is none."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _restored(shot: Shot, mask: ImageU8, size_px: int) -> tuple[ImageU8, ImageU8]:
    """One frame with the fill enlarged bicubically, and with detail."""
    frame, filler = shot.image, shot.filler
    if not isinstance(filler, DetailedFiller):
        raise UserError(
            f"'{filler.name}' has no detail to carry over.", "Use warp-register or unvisor."
        )
    scale = len(frame) / size_px
    corner = 0.5 * scale - 0.5
    frame_from_crop = np.array([[scale, 0, corner], [0, scale, corner]], np.float32)
    hole = open_hole(mask, frame_from_crop, size_px)
    covered = frame * (1 - mask)[..., None]
    crop = cut_crop(covered, frame_from_crop, size_px)
    filled = filler.fill(crop, hole.crop_hidden, shot.mesh / np.float32(scale))
    enlarged = cv2.resize(filled, frame.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    as_it_is = dataclasses.replace(hole, frame_from_crop=np.eye(2, 3, dtype=np.float32))
    bicubic = composite(covered, np.asarray(enlarged, np.uint8), as_it_is)
    return bicubic, composite(covered, filled, hole, filler.detail)
