"""FaceMaskNet: which pixels of a head's crop a face mask, a scarf or their straps cover.

A U-Net (Ronneberger et al. 2015) on HeadsetNet's own trunk down to 1/16 of the crop, so that it
can start from what that has learnt of heads, hands, hair and glasses. The last features, at half
the crop's resolution, give four pixels each: every pixel is decided, none costs extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn, sigmoid
from torch.nn import functional

from models.headset.network import ResidualBlock, conv_block


@dataclass(frozen=True)
class FaceMaskNetSettings:
    """Widths of the network; the defaults are HeadsetNet's."""

    channels: tuple[int, ...] = (16, 32, 56, 96)  # at 1/2 .. 1/16 of the crop's side
    blocks: tuple[int, ...] = (1, 2, 2)  # residual blocks at 1/4 .. 1/16


class FaceMaskNet(nn.Module):
    """(B,3,S,S) RGB in 0..1 -> (B,1,S,S) logits of face mask; S divides by 16."""

    def __init__(self, settings: FaceMaskNetSettings | None = None) -> None:
        """Random weights; `start_from_headset_net` gives the trunk better ones."""
        super().__init__()
        self.settings = settings = settings or FaceMaskNetSettings()
        widths = settings.channels
        self.stem = conv_block(3, widths[0], stride=2)
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
        self.mask_head = nn.Conv2d(widths[0], 4, 3, padding=1)

    def start_from_headset_net(self, weights: dict[str, Any]) -> int:
        """Take over what fits of HeadsetNet's weights by name; returns how many tensors did."""
        own = self.state_dict()
        fitting = {
            name: value
            for name, value in weights.items()
            if name in own and own[name].shape == value.shape
        }
        self.load_state_dict({**own, **fitting})
        return len(fitting)

    def forward(self, crop: Tensor) -> Tensor:
        """See the class."""
        features = [self.stem(crop * 2 - 1)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        merged = features.pop()
        for lateral, refine in zip(reversed(self.laterals), reversed(self.refiners), strict=True):
            enlarged = functional.interpolate(lateral(merged), scale_factor=2.0)
            merged = refine(features.pop() + enlarged)
        return functional.pixel_shuffle(self.mask_head(merged), 2)


class ExportedFaceMaskNet(nn.Module):
    """The network as exported: probabilities."""

    def __init__(self, network: FaceMaskNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> Tensor:
        """(B,3,S,S) -> (B,1,S,S) of `face_mask_net_contract`."""
        return sigmoid(self.network(crop))
