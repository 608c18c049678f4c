"""CoverNet: tells which parts of an aligned face are covered by a hand, hair, a mask."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.covers.contract import REGIONS, SIZE_PX


@dataclass(frozen=True)
class CoverNetSettings:
    """What has to be known to build one."""

    channels: tuple[int, ...] = (12, 24, 48, 64)  # each at half the side of the one before
    hidden: int = 48


class CoverNet(nn.Module):
    """(B,3,S,S) RGB in 0..1 -> (B,R) logits, one per region.

    The crop is aligned, so a region is always in about the same place: the last features are not
    averaged over the picture but read where they are.
    """

    def __init__(self, settings: CoverNetSettings | None = None) -> None:
        """Random weights."""
        super().__init__()
        self.settings = settings = settings or CoverNetSettings()
        layers: list[nn.Module] = []
        before = 3
        for after in settings.channels:
            layers += [
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
            before = after
        side = SIZE_PX >> len(settings.channels)
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(before * side * side, settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, len(REGIONS)),
        )

    def forward(self, crop: Tensor) -> Tensor:
        """See the class."""
        logits: Tensor = self.head(self.features(crop - 0.5))
        return logits


class ExportedCoverNet(nn.Module):
    """The network as exported: probabilities."""

    def __init__(self, network: CoverNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> Tensor:
        """(B,3,S,S) -> (B,R) of `cover_net_contract`."""
        return torch.sigmoid(self.network(crop))
