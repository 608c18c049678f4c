"""Perceptual and style losses: differences between VGG16 features, and between what goes together.

Johnson, Alahi, Li: Perceptual Losses, ECCV 2016; Gatys, Ecker, Bethge: CVPR 2016 for the Gram
matrices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from training.helper_weights import IMAGENET_MEAN, IMAGENET_STD


class FeatureLosses(nn.Module):
    """Mean absolute differences of activations (perceptual) and of their Gram matrices (style)."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: nn.Module,
        layers: tuple[int, ...] = (0, 1, 2),
        normalised: bool = True,
        style_halving: bool = False,
    ) -> None:
        """Look through `features`, a module that gives a list of activations, at some `layers`.

        `normalised` False gives the network RGB in 0..1 as it is, as some published systems do;
        `features` is one that normalises by itself. With `style_halving` the style of the first
        layer counts a half, of each deeper one half as much: LGTSM divides by 2, 4 and 8.
        """
        super().__init__()
        self.features, self.layers, self.normalised = features, layers, normalised
        self.style_halving = style_halving
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, composite: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """(perceptual, style), each summed over layers; images (N,3,H,W) RGB 0..1."""
        seen = self._activations(composite)
        with torch.no_grad():
            wanted = self._activations(truth)
        pairs = list(zip(seen, wanted, strict=True))
        perceptual = torch.stack([functional.l1_loss(a, b) for a, b in pairs]).sum()
        styles = torch.stack([functional.l1_loss(gram(a), gram(b)) for a, b in pairs])
        if self.style_halving:
            styles = styles * 0.5 ** torch.arange(1, len(styles) + 1, device=styles.device)
        return perceptual, styles.sum()

    def _activations(self, images: Tensor) -> list[Tensor]:
        if not self.normalised:
            images = images * self.std + self.mean
        found: list[Tensor] = self.features(images)
        return [found[layer] for layer in self.layers]


def gram(features: Tensor) -> Tensor:
    """Which channels go together: (N,C,H,W) -> (N,C,C), per value of the map."""
    n, channels, rows, columns = features.shape
    flat = features.float().reshape(n, channels, rows * columns)
    with torch.autocast(features.device.type, enabled=False):
        return flat @ flat.transpose(1, 2) / (channels * rows * columns)
