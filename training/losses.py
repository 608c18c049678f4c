"""Losses on the composited frame: reconstruction, perceptual, adversarial."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

MSE_FLOOR = 1e-6  # keeps the logarithm finite on frames that are already perfect
BOX_MARGIN_PX = 8


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term."""

    l1: float = 1.0  # mean over the hole
    decibel: float = 0.01  # mean squared error per frame in dB: what PSNR averages
    perceptual: float = 0.1
    adversarial: float = 0.002


def l1_in_hole(fill: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over hidden pixels; (N,3,S,S), (N,3,S,S), (N,1,S,S)."""
    return ((fill - truth).abs() * mask).sum() / (3 * mask.sum()).clamp(min=1)


def decibels(fill: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean over frames of 10 log10 of the frame's squared error: minus PSNR for values in 0..1."""
    error = ((fill - truth).square() * mask).mean((1, 2, 3))
    return 10 * torch.log10(error + MSE_FLOOR).mean()


class PerceptualLoss(nn.Module):
    """L1 between VGG16 features (Johnson, Alahi, Li: ECCV 2016), around the hole only."""

    def __init__(self, features: nn.Module, layers: int = 3) -> None:
        """Look through `features` (list of activations), at its first `layers` activations."""
        super().__init__()
        self.features, self.layers = features, layers

    def forward(self, composite: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
        """Mean feature difference; images (N,3,S,S) RGB 0..1."""
        rows, columns = box_around(mask)
        seen = self.features(composite[..., rows, columns])[: self.layers]
        with torch.no_grad():
            wanted = self.features(truth[..., rows, columns])[: self.layers]
        terms = [functional.l1_loss(a, b) for a, b in zip(seen, wanted, strict=True)]
        return torch.stack(terms).sum()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator on its scores of real and generated frames."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Hinge loss of the generator."""
    return -fake.mean()


def box_around(mask: Tensor) -> tuple[slice, slice]:
    """Rows and columns that hold every hole of the batch (N,1,S,S), with a margin."""
    size = mask.shape[-1]
    hidden = mask.amax((0, 1)) > 0

    def span(present: Tensor) -> slice:
        where = present.nonzero()
        low = max(int(where.min()) - BOX_MARGIN_PX, 0)
        return slice(low, min(int(where.max()) + 1 + BOX_MARGIN_PX, size))

    return span(hidden.any(1)), span(hidden.any(0))
