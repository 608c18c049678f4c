"""Validation while training: the `hmd` protocols on the val split, with the network in torch.

Clips are prepared once; each validation only runs the network on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import preparation
from models.bank.references import ReferenceBank
from models.contract import MASK
from models.face.mesh import LEFT_SIDE, NOSE_TIP, RIGHT_SIDE
from models.inpainting import architectures
from models.inpainting.inputs_choice import InputsChoice
from models.preparation import Reference
from models.preparer import Preparer
from training.evaluation import metrics
from training.feeding.streams import DecodedClip, PreparedStream, prepared_planes
from training.masks.headset import PROTOCOL_HEADSET
from training.masks.source import MaskSource

SCORED_FRAMES = 33  # the first one is the reference
LPIPS_WEIGHT = 50.0  # dB per unit: a gain of .002 counts like 0.1 dB
ImageU8 = NDArray[np.uint8]


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


@dataclass(frozen=True)
class ValidationClip:
    """Prepared frames of one clip from one reference."""

    planes: ImageU8  # (T,8,S,S), see `training.feeding.streams`
    started: ImageU8  # (T,S,S,3) BGR: the prepared reference in the hole
    truth: ImageU8  # (T,S,S,3) BGR


def references(clip: DecodedClip) -> list[Reference]:
    """First frame, and a later one of another pose where the clip is long enough."""
    chosen = [0]
    if len(clip.images) > 2 * SCORED_FRAMES:
        offset = clip.meshes[:, NOSE_TIP, 0] - clip.meshes[:, (RIGHT_SIDE, LEFT_SIDE), 0].mean(1)
        change = np.abs(offset[SCORED_FRAMES:] - offset[1:SCORED_FRAMES].mean())
        chosen.append(SCORED_FRAMES + int(change.argmax()))
    return [
        Reference(np.asarray(clip.images[index]), np.asarray(clip.meshes[index]))
        for index in chosen
    ]


class Validation:
    """Frames 1..32 of every clip, from zero states; prepared once."""

    def __init__(
        self,
        clips: Sequence[DecodedClip],
        lpips: nn.Module,
        inputs: InputsChoice | None = None,
        frame_step: int = 1,
        masks: MaskSource = PROTOCOL_HEADSET,
    ) -> None:
        """Prepare every `frame_step`-th frame; `lpips` as `helper_weights.lpips_alex` makes it."""
        choice = inputs or InputsChoice()
        self._clips = [
            _prepared(clip, reference, choice, frame_step, masks, index)
            for index, clip in enumerate(clips)
            for reference in references(clip)
        ]
        self._lpips = lpips
        starts = [self._scores(clip.started, clip, torch.device("cpu")) for clip in self._clips]
        self._start_psnr_db, self._start_lpips = np.mean(starts, 0).tolist()

    @torch.no_grad()
    def score(self, network: nn.Module) -> ValidationScore:
        """Score a network, on the device it lies on."""
        device = next(network.parameters()).device
        self._lpips.to(device)
        rows = [self._scores(_filled(network, clip, device), clip, device) for clip in self._clips]
        psnr_db, lpips = np.mean(rows, 0).tolist()
        return ValidationScore(psnr_db, lpips, self._start_psnr_db, self._start_lpips)

    def _scores(
        self, images: ImageU8, clip: ValidationClip, device: torch.device
    ) -> tuple[float, float]:
        pair = (metrics.rgb_tensor(part).to(device) for part in (images, clip.truth))
        with torch.no_grad():
            distance: Tensor = self._lpips(*pair)
        return float(metrics.psnr(images, clip.truth).mean()), float(distance.mean())


def _prepared(
    clip: DecodedClip,
    reference: Reference,
    choice: InputsChoice,
    frame_step: int,
    masks: MaskSource,
    seed: int,
) -> ValidationClip:
    chosen = slice(1, min(SCORED_FRAMES, len(clip.images)), frame_step)
    images, meshes = np.asarray(clip.images[chosen]), np.asarray(clip.meshes[chosen])
    hidden = masks.masks(meshes, images.shape[1], np.random.default_rng(seed))
    preparer = Preparer(ReferenceBank([reference], images.shape[1]))
    planes, started = [], []
    for image, mesh, hole in zip(images, meshes, hidden, strict=True):
        prepared = preparer.step(image, hole, mesh)
        planes.append(prepared_planes(prepared, choice))
        started.append(preparation.compose(prepared.reference, image, hole))
    return ValidationClip(np.stack(planes), np.stack(started), images)


def _filled(network: nn.Module, clip: ValidationClip, device: torch.device) -> ImageU8:
    whole = PreparedStream(clip.planes, np.zeros((0, 0), np.float32), (0, 0, 0, 0))
    inputs = torch.from_numpy(whole.inputs()).to(device)[None]
    fill, _ = architectures.as_inpainter(network)(inputs)
    drawn = fill[0].float().cpu().numpy()
    return np.stack(
        [
            preparation.compose(preparation.image_from_planes(frame), truth, planes[MASK][0])
            for frame, truth, planes in zip(drawn, clip.truth, clip.planes, strict=True)
        ]
    )
