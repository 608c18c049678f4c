"""Discriminators of the published networks: judges of frames and of short clips."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.peers.stn_gan import PAST_FRAMES, TemporalBlock

LEAK = 0.2
MOST_CHANNELS = 512
LOCAL_MARGIN = 0.1  # of the hole's larger side, kept around it in the local judge's view


class StridedCritic(nn.Module):
    """Strided convolutions without norm (Gulrajani et al., NeurIPS 2017, need that), linear head.

    With `linked_layers`, a temporal block that starts as the identity follows each of the first
    layers, as in STN-GAN's video discriminators.
    """

    def __init__(self, inputs: int, layers: int, width: int, linked_layers: int = 0) -> None:
        """Judge (N,`inputs`,S,S); channels double from `width` up to 512."""
        super().__init__()
        widths = [min(width << layer, MOST_CHANNELS) for layer in range(layers)]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 4, 2, 1)
            for before, after in zip([inputs, *widths[:-1]], widths, strict=True)
        )
        linked = widths[:linked_layers]
        self.links = nn.ModuleList(TemporalBlock(c, is_normed=False) for c in linked)
        self.head = nn.Conv2d(widths[-1], 1, 3, 1, 1)

    def forward(self, images: Tensor, frames: int) -> Tensor:
        """Score (B*T,C,S,S), T = `frames`: (B*T,1,s,s); higher is more real."""
        x = images
        for number, layer in enumerate(self.layers):
            x = functional.leaky_relu(layer(x), LEAK)
            if number < len(self.links):
                past = x.new_zeros(len(x) // frames, PAST_FRAMES * x.shape[1], *x.shape[2:])
                x, _ = self.links[number](x, [past, torch.zeros_like(past)], frames)
        scores: Tensor = self.head(x)
        return scores


class PatchCritic(nn.Sequential):
    """Judge of overlapping patches, 70×70 px of an image (Isola et al., CVPR 2017)."""

    def __init__(self, inputs: int, width: int = 64) -> None:
        """Three strided and two plain convolutions, spectrally normalised; linear."""
        layers: list[nn.Module] = []
        channels = inputs
        for outputs, stride in ((width, 2), (2 * width, 2), (4 * width, 2), (8 * width, 1)):
            layers += [_normed(channels, outputs, stride), nn.LeakyReLU(LEAK)]
            channels = outputs
        super().__init__(*layers, _normed(channels, 1, 1))


class FeaturePatchCritic(nn.Sequential):
    """Judge of patches of a frozen network's features (Liu et al.: CSA, ICCV 2019)."""

    def __init__(self, inputs: int, width: int = 256) -> None:
        """One strided and two plain convolutions, spectrally normalised; linear."""
        super().__init__(
            _normed(inputs, width, 2),
            nn.LeakyReLU(LEAK),
            _normed(width, width, 1),
            nn.LeakyReLU(LEAK),
            _normed(width, 1, 1),
        )


def around_hole(images: Tensor, mask: Tensor, size_px: int) -> Tensor:
    """Squares of `images` (N,C,S,S) around each hole of `mask` (N,1,S,S), sampled at `size_px`.

    A frame without a hole is seen whole.
    """
    rows, columns = mask[:, 0].amax(2) > 0, mask[:, 0].amax(1) > 0
    hidden = rows.any(1)
    (top, bottom), (left, right) = _ends(rows), _ends(columns)
    side = torch.maximum(bottom - top, right - left) * (1 + 2 * LOCAL_MARGIN)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    # The square's centre and half side, in the frame's -1..1.
    theta[:, 0, 0] = theta[:, 1, 1] = torch.where(hidden, side / 2, 1)
    theta[:, 0, 2] = torch.where(hidden, (left + right) / 2, 0)
    theta[:, 1, 2] = torch.where(hidden, (top + bottom) / 2, 0)
    shape = [len(images), images.shape[1], size_px, size_px]
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would move the square
        grid = functional.affine_grid(theta, shape, align_corners=False)
        sampled: Tensor = functional.grid_sample(
            images.float(), grid, padding_mode="border", align_corners=False
        )
    return sampled


def _ends(present: Tensor) -> tuple[Tensor, Tensor]:
    """Where the first True of each row (N,S) begins and the last one ends, in -1..1."""
    size = present.shape[1]
    first = present.int().argmax(1)
    last = size - present.flip(1).int().argmax(1)
    return first * 2 / size - 1, last * 2 / size - 1


def _normed(inputs: int, outputs: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, 1))
