"""STN-GAN's adversary: critics of the whole frame and of the square around the hole, WGAN-GP.

Wu, Singh, Kapoor, WACV 2020: six and five strided convolutions without norm; for video, temporal
blocks that start as the identity follow the first layers of both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from training.adversaries.critics import StridedCritic, around_hole
from training.adversaries.objectives import (
    PENALTY_WEIGHT,
    gradient_penalty,
    hinge_generator,
    wasserstein_critic,
)
from training.adversaries.registry import Adversary, JudgedClips

GLOBAL_LAYERS, LOCAL_LAYERS = 6, 5


@dataclass(frozen=True)
class GlobalLocalSettings:
    """`[adversary.settings]` of kind "global-local"."""

    width: int = 64
    temporal_layers: int = 0  # first layers of each critic with a temporal block behind; SI: 0
    sees_landmarks: bool = False
    judge_steps: int = 5  # of the critics for each step of the network

    def __post_init__(self) -> None:
        """Refuse counts that do not fit."""
        if not 0 <= self.temporal_layers <= LOCAL_LAYERS or self.judge_steps < 1:
            raise ValueError(
                f"temporal_layers is 0 to {LOCAL_LAYERS} and judge_steps at least 1, got "
                f"{self.temporal_layers} and {self.judge_steps}"
            )


class GlobalLocalAdversary(Adversary):
    """Two critics whose scores are added; those of video go on from those of stills."""

    grown_parts = ("links",)

    def __init__(self, settings: GlobalLocalSettings) -> None:
        """Build both critics of `settings`."""
        super().__init__()
        self.settings, self.judge_steps = settings, settings.judge_steps
        inputs, links = 3 + settings.sees_landmarks, settings.temporal_layers
        self.whole = StridedCritic(inputs, GLOBAL_LAYERS, settings.width, links)
        self.local = StridedCritic(inputs, LOCAL_LAYERS, settings.width, links)

    def generator_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        views = self._views(clips.composite, clips)
        return torch.stack([hinge_generator(critic(seen)) for critic, seen in views]).sum()

    def judge_loss(self, clips: JudgedClips) -> Tensor:
        """See `Adversary`."""
        terms = []
        fakes, reals = self._views(clips.composite, clips), self._views(clips.truth, clips)
        for (critic, fake), (_, real) in zip(fakes, reals, strict=True):
            penalty = gradient_penalty(critic, real, fake)
            terms.append(wasserstein_critic(critic(real), critic(fake)) + PENALTY_WEIGHT * penalty)
        return torch.stack(terms).sum()

    def _views(
        self, images: Tensor, clips: JudgedClips
    ) -> list[tuple[Callable[[Tensor], Tensor], Tensor]]:
        """Each critic and the clips (B,T,C,s,s) that it looks at."""
        seen = torch.cat([images, clips.contours], 2) if self.settings.sees_landmarks else images
        batch, frames, _, size = seen.shape[:4]
        near = around_hole(seen.flatten(0, 1), clips.mask.flatten(0, 1), size // 2)
        return [
            (_of_clips(self.whole), seen),
            (_of_clips(self.local), near.reshape(batch, frames, *near.shape[1:])),
        ]


def _of_clips(critic: StridedCritic) -> Callable[[Tensor], Tensor]:
    """`critic` for clips (B,T,C,s,s): scores (B,T,1,h,h)."""

    def score(clips: Tensor) -> Tensor:
        scores: Tensor = critic(clips.flatten(0, 1), clips.shape[1])
        return scores.reshape(*clips.shape[:2], *scores.shape[1:])

    return score
