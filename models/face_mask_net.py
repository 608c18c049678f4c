"""FaceMaskNet: which pixels of a head's crop a face mask, a scarf or their straps cover.

A U-Net (Ronneberger et al. 2015) of depthwise separable convolutions (Howard et al. 2017). Four
neighbouring pixels enter as one and leave as one, so that nothing is computed at full resolution
and yet every pixel is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class FaceMaskNetSettings:
    """Widths of the network."""

    channels: tuple[int, ...] = (16, 24, 48, 80, 128)  # at 1/2, 1/4, … of the crop's side
    blocks: tuple[int, ...] = (1, 1, 2, 2)  # from 1/4 on


class FaceMaskNet(nn.Module):
    """(B,3,S,S) RGB in 0..1 -> (B,1,S,S) logits of face mask; S divides by 32."""

    def __init__(self, settings: FaceMaskNetSettings | None = None) -> None:
        """Random weights."""
        super().__init__()
        self.settings = settings = settings or FaceMaskNetSettings()
        widths = settings.channels
        self.stem = _dense(12, widths[0])
        self.encoder = nn.ModuleList(
            nn.Sequential(
                _dense(before, after, stride=2) if level == 0 else _Separable(before, after, 2),
                *(_Separable(after, after) for _ in range(count)),
            )
            for level, (before, after, count) in enumerate(
                zip(widths, widths[1:], settings.blocks, strict=False)
            )
        )
        self.lateral = nn.ModuleList(
            _pointwise(deep, shallow) for shallow, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(
            _dense(2 * width, width) if level < 2 else _Separable(2 * width, width)
            for level, width in enumerate(widths[:-1])
        )
        self.head = nn.Conv2d(widths[0], 4, 3, padding=1)

    def forward(self, crop: Tensor) -> Tensor:
        """See the class."""
        features = self.stem(functional.pixel_unshuffle(crop - 0.5, 2))
        passed = [features]
        for stage in self.encoder:
            passed.append(stage(passed[-1]))
        deep = passed.pop()
        for lateral, decode in zip(reversed(self.lateral), reversed(self.decoder), strict=True):
            enlarged = functional.interpolate(lateral(deep), scale_factor=2.0, mode="nearest")
            deep = decode(torch.cat([passed.pop(), enlarged], dim=1))
        return functional.pixel_shuffle(self.head(deep), 2)


class ExportedFaceMaskNet(nn.Module):
    """The network as exported: probabilities."""

    def __init__(self, network: FaceMaskNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> Tensor:
        """(B,3,S,S) -> (B,1,S,S) of `face_mask_net_contract`."""
        return torch.sigmoid(self.network(crop))


class _Separable(nn.Module):
    """Depthwise, then pointwise; what keeps its shape is added to its input."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.is_residual = before == after and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(before, before, 5, stride, 2, groups=before, bias=False),
            nn.BatchNorm2d(before),
            _pointwise(before, after),
        )

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.layers(features)
        return features + found if self.is_residual else found


def _dense(before: int, after: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


def _pointwise(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
