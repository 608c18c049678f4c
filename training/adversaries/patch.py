"""Patch adversary: judges frames one by one. Cheap enough for a CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.adversaries.discriminator import PatchDiscriminator
from training.adversaries.objectives import hinge_discriminator, hinge_generator
from training.adversaries.registry import Adversary, JudgedClips


@dataclass(frozen=True)
class PatchSettings:
    """`[adversary.settings]` of kind "patch"."""

    width: int = 32


class PatchAdversary(Adversary):
    """`PatchDiscriminator` under the hinge objective."""

    def __init__(self, settings: PatchSettings) -> None:
        """Build the discriminator of `settings`."""
        super().__init__()
        self.settings = settings
        self.discriminator = PatchDiscriminator(settings.width)

    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        """Scores of frames (B,T,3,S,S) with their masks, (B*T,1,S/8,S/8)."""
        scores: Tensor = self.discriminator(torch.cat([images, mask], 2).flatten(0, 1))
        return scores

    def generator_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        return hinge_generator(self(clips.composite, clips.mask))

    def judge_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        both = torch.cat([clips.truth, clips.composite])
        scores = self(both, torch.cat([clips.mask, clips.mask]))
        return hinge_discriminator(*scores.chunk(2))
