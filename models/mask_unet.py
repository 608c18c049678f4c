"""A small U-Net that decides every pixel of a crop: what FaceMaskNet and OutlineNet are built on.

A U-Net (Ronneberger et al. 2015) down to a fraction of the crop. Its last features, at half the
crop's resolution, give four pixels each; a few filters at full resolution see these beside the
crop itself and put outlines and straps where its edges are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, cat, nn, sigmoid
from torch.nn import functional

from models.headset.network import ResidualBlock, conv_block


@dataclass(frozen=True)
class MaskUNetSettings:
    """Widths of the network; the crop's side divides by 2 to the number of channels."""

    channels: tuple[int, ...]  # at 1/2, 1/4, ... of the crop's side
    blocks: tuple[int, ...]  # residual blocks at 1/4, 1/8, ...
    detail: int = 12  # filters at full resolution
    hints: int = (
        4  # values per pixel that these are given by the coarser features; the first decides
    )


class MaskUNet(nn.Module):
    """(B,C,S,S) in -1..1 -> (B,1,S,S) logits."""

    def __init__(self, inputs: int, settings: MaskUNetSettings) -> None:
        """Random weights for crops of so many channels."""
        super().__init__()
        widths = settings.channels
        self.stem = conv_block(inputs, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                conv_block(before, after, stride=2), *(ResidualBlock(after) for _ in range(count))
            )
            for (before, after), count in zip(pairwise(widths), settings.blocks, strict=True)
        )
        self.laterals = nn.ModuleList(
            conv_block(after, before, size=1) for before, after in pairwise(widths)
        )
        self.refiners = nn.ModuleList(conv_block(width, width) for width in widths[:-1])
        self.mask_head = nn.Conv2d(widths[0], 4 * settings.hints, 3, padding=1)
        self.detail = conv_block(settings.hints + inputs, settings.detail)
        self.correction = nn.Conv2d(settings.detail, 1, 3, padding=1)
        for parameter in self.correction.parameters():
            nn.init.zeros_(parameter)  # at first the coarser features decide alone

    def forward(self, crop: Tensor) -> Tensor:
        """See the class."""
        features = [self.stem(crop)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        merged = features.pop()
        for lateral, refine in zip(reversed(self.laterals), reversed(self.refiners), strict=True):
            enlarged = functional.interpolate(lateral(merged), scale_factor=2.0)
            merged = refine(features.pop() + enlarged)
        hints = functional.pixel_shuffle(self.mask_head(merged), 2)
        seen = self.detail(cat([hints, crop], dim=1))
        said: Tensor = hints[:, :1] + self.correction(seen)
        return said


class ExportedMaskUNet(nn.Module):
    """A network as exported: probabilities instead of logits."""

    def __init__(self, network: MaskUNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> Tensor:
        """(B,C,S,S) as `network` takes it -> (B,1,S,S) in 0..1."""
        return sigmoid(self.network(crop))
