"""Whether a fine-tuned network is kept: by frames that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models import preparation
from models.bank.references import ReferenceBank
from models.inpainting.evi_hrnet import EviHrnet
from models.preparer import Preparer
from models.reference import Reference
from training.evaluation.metrics import masked_mse, psnr_from_mse, ssim
from training.finetuning.clip import ImageU8, WearerClip
from training.finetuning.drawing import network_input_of
from training.masks.coverings import HeadsetShape, headset_mask

LEAST_GAIN_DB = 0.1  # inside the hole; less is within the spread from clip to clip
SHAPES = (HeadsetShape(), HeadsetShape(1.15, 1.2, 0.1, 0.3))  # worn in turn, every 32 frames
TURN_FRAMES = 32


@dataclass(frozen=True)
class Score:
    """Means over the held-back frames."""

    psnr_masked_db: float  # inside the hole, of the mean error
    ssim: float  # of the whole crop


def is_better(tuned: Score, base: Score) -> bool:
    """More PSNR in the hole by `LEAST_GAIN_DB`, and no structure lost for it."""
    return tuned.psnr_masked_db >= base.psnr_masked_db + LEAST_GAIN_DB and tuned.ssim >= base.ssim


@torch.no_grad()
def filled_by(
    networks: Sequence[EviHrnet], clip: WearerClip, references: Sequence[Reference]
) -> tuple[list[ImageU8], ImageU8]:
    """Fill a clip with each network: composites (T,S,S,3) BGR, and the masks (T,S,S)."""
    size_px = clip.images.shape[1]
    preparer = Preparer(ReferenceBank(references, size_px))
    states = [network.initial_states(1) for network in networks]
    device = states[0][0].device
    filled: list[list[ImageU8]] = [[] for _ in networks]
    masks = []
    for index, (image, mesh) in enumerate(zip(clip.images, clip.meshes, strict=True)):
        if clip.starts[index] or index % TURN_FRAMES == 0:
            preparer.reset()
            states = [network.initial_states(1) for network in networks]
        hidden = headset_mask(mesh, size_px, SHAPES[index // TURN_FRAMES % len(SHAPES)])
        shown = network_input_of(image, hidden, mesh, preparer)
        inputs = torch.from_numpy(shown)[None].to(device)
        masks.append(hidden)
        for number, network in enumerate(networks):
            fill, states[number] = network.step(inputs, states[number])
            drawn = preparation.image_from_planes(fill[0].float().cpu().numpy())
            filled[number].append(preparation.compose(drawn, image, hidden))
    return [np.stack(images) for images in filled], np.stack(masks)


def score_of(images: ImageU8, clip: WearerClip, masks: ImageU8) -> Score:
    """Score composites of a clip against its own frames."""
    error = np.nanmean(masked_mse(images, clip.images, masks))
    return Score(float(psnr_from_mse(np.asarray(error))), float(ssim(images, clip.images).mean()))
