"""Validation while training: the `hmd` protocols on the val split, with the network in torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models import preparation
from models.evi_hrnet import EviHrnet
from models.face_mesh import LEFT_SIDE, NOSE_TIP, RIGHT_SIDE
from models.preparation import Reference
from training import metrics
from training.coverings import headset_mask
from training.streams import DecodedClip

SCORED_FRAMES = 33  # the first one is the reference
LPIPS_WEIGHT = 50.0  # dB per unit: a gain of .002 counts like 0.1 dB


@dataclass(frozen=True)
class ValidationScore:
    """Means over clips; `start` is the prepared reference before the network."""

    psnr_db: float
    lpips: float
    start_psnr_db: float
    start_lpips: float

    @property
    def total(self) -> float:
        """What checkpoints are chosen by; higher is better."""
        return self.psnr_db - LPIPS_WEIGHT * self.lpips


def references(clip: DecodedClip) -> list[Reference]:
    """First frame, and a later one of another pose where the clip is long enough."""
    chosen = [0]
    if len(clip.images) > 2 * SCORED_FRAMES:
        offset = clip.meshes[:, NOSE_TIP, 0] - clip.meshes[:, (RIGHT_SIDE, LEFT_SIDE), 0].mean(1)
        change = np.abs(offset[SCORED_FRAMES:] - offset[1:SCORED_FRAMES].mean())
        chosen.append(SCORED_FRAMES + int(change.argmax()))
    return [Reference(clip.images[index], clip.meshes[index]) for index in chosen]


@torch.no_grad()
def validate(
    network: EviHrnet, clips: list[DecodedClip], lpips: nn.Module, frame_step: int = 1
) -> ValidationScore:
    """Score `network` on frames 1..32 of every clip, from zero states."""
    rows = [
        _score_clip(network, clip, reference, lpips, frame_step)
        for clip in clips
        for reference in references(clip)
    ]
    return ValidationScore(*np.mean(rows, 0).tolist())


def _score_clip(
    network: EviHrnet, clip: DecodedClip, reference: Reference, lpips: nn.Module, frame_step: int
) -> list[float]:
    states = network.initial_states(1)
    device = states[0].device
    filled, started, truth = [], [], []
    for index in range(1, min(SCORED_FRAMES, len(clip.images)), frame_step):
        image, mesh = clip.images[index], clip.meshes[index]
        hidden = headset_mask(mesh, len(image))
        prepared = preparation.prepare(image, hidden, mesh, reference)
        inputs = torch.from_numpy(preparation.network_input(prepared))[None].to(device)
        fill, states = network.step(inputs, states)
        drawn = preparation.image_from_planes(fill[0].float().cpu().numpy())
        filled.append(preparation.compose(drawn, image, hidden))
        started.append(preparation.compose(prepared.reference, image, hidden))
        truth.append(image)
    after, before, bare = (np.stack(part) for part in (filled, started, truth))
    scores = [
        (metrics.psnr(images, bare).mean(), metrics.lpips(lpips, images, bare).mean())
        for images in (after, before)
    ]
    return [float(value) for pair in scores for value in pair]
