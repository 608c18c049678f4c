"""Temporal patch discriminator: strided convolutions, each behind a temporal shift.

After LGTSM's (Chang et al., BMVC 2019), with spectral normalisation (Miyato et al., ICLR 2018) that
acts on the weights which run, and linear scores. Its shift is the network's own: causal, or both
ways, since an adversary is never used live.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.inpainting.temporal_shift import (
    OfflineTemporalShift,
    OnlineTemporalShift,
    fold_channels,
)
from training.adversaries.objectives import (
    OBJECTIVES,
    PENALTY_WEIGHT,
    Objective,
    gradient_penalty,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
    wasserstein_critic,
)
from training.adversaries.registry import Adversary, JudgedClips

LEAK = 0.2
CHANNELS_PER_WIDTH = (1, 2, 4, 4, 4, 4)


@dataclass(frozen=True)
class TemporalPatchSettings:
    """`[adversary.settings]` of kind "temporal-patch"."""

    width: int = 64
    bidirectional: bool = False
    sees_landmarks: bool = False
    objective: Objective = "hinge"

    def __post_init__(self) -> None:
        """Refuse objectives that do not exist."""
        if self.objective not in OBJECTIVES:
            raise ValueError(
                f"unknown objective '{self.objective}'; it is one of {', '.join(OBJECTIVES)}"
            )


class TemporalPatchAdversary(Adversary):
    """Scores patches of clips of composites with their mask."""

    def __init__(self, settings: TemporalPatchSettings) -> None:
        """Build the six layers of `settings`."""
        super().__init__()
        self.settings = settings
        channels = [4 + settings.sees_landmarks, *(settings.width * c for c in CHANNELS_PER_WIDTH)]
        shift = OfflineTemporalShift if settings.bidirectional else OnlineTemporalShift
        self.shifts = nn.ModuleList(shift(inputs) for inputs in channels[:-1])
        self.convolutions = nn.ModuleList(
            self._convolution(inputs, outputs) for inputs, outputs in pairwise(channels)
        )

    def forward(self, clips: Tensor) -> Tensor:
        """Scores (B,T,4w,h,h) of clips (B,T,C,S,S), linear; above 0 looks real. h = S/64."""
        batch, frames = clips.shape[:2]
        x = clips.flatten(0, 1)
        last = len(self.convolutions) - 1
        for index, (shift, convolution) in enumerate(
            zip(self.shifts, self.convolutions, strict=True)
        ):
            x = convolution(self._shifted(shift, x, batch, frames))
            x = x if index == last else functional.leaky_relu(x, LEAK)
        return x.reshape(batch, frames, *x.shape[1:])

    def generator_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        scores = self(self._seen(clips.composite, clips))
        if self.settings.objective == "lsgan":
            return least_squares_generator(scores)
        return hinge_generator(scores)

    def judge_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        real, fake = self._seen(clips.truth, clips), self._seen(clips.composite, clips)
        true_scores, false_scores = self(torch.cat([real, fake])).chunk(2)
        if self.settings.objective == "hinge":
            return hinge_discriminator(true_scores, false_scores)
        if self.settings.objective == "lsgan":
            return least_squares_discriminator(true_scores, false_scores)
        penalty = gradient_penalty(self, real, fake)
        return wasserstein_critic(true_scores, false_scores) + PENALTY_WEIGHT * penalty

    def _convolution(self, inputs: int, outputs: int) -> nn.Module:
        convolution = nn.Conv2d(inputs, outputs, 5, 2, 2)
        # A gradient penalty bounds the slope by itself; both together bound it twice.
        return convolution if self.settings.objective == "wgan-gp" else spectral_norm(convolution)

    def _seen(self, images: Tensor, clips: JudgedClips) -> Tensor:
        more = [clips.mask] + [clips.contours] * self.settings.sees_landmarks
        return torch.cat([images, *more], 2)

    @staticmethod
    def _shifted(shift: nn.Module, x: Tensor, batch: int, frames: int) -> Tensor:
        if isinstance(shift, OnlineTemporalShift):
            before = x.new_zeros(batch, fold_channels(x.shape[1]), *x.shape[2:])
            past_and_now: Tensor = shift(x, before, frames)[0]
            return past_and_now
        both_ways: Tensor = shift(x, frames)
        return both_ways
