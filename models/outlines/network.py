"""OutlineNet: the headset's outline, from HeadsetNet's coarse one and the wearer's bare picture.

HeadsetNet knows headsets in general; hair beside a dark headset, the brim of a cap and thin straps
it mistakes for each other. What the bare picture shows at the same place tells them apart, and how
far that can be believed (other light, other hair, a head that turned) is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.mask_unet import MaskUNet, MaskUNetSettings
from models.outlines.contract import CHANNELS, SOFT

LEAST = 0.02  # probability: HeadsetNet's own certainty may be overruled


@dataclass(frozen=True)
class OutlineNetSettings(MaskUNetSettings):
    """Widths of the network."""

    # Multiples of 16, which is what a processor's vectors hold: fewer cost about as much.
    channels: tuple[int, ...] = (16, 48, 64, 96)
    blocks: tuple[int, ...] = (1, 2, 2)
    detail: int = 16


class OutlineNet(MaskUNet):
    """(B,9,H,W) in 0..1 as `outline_net_contract` says -> (B,1,H,W) logits; both divide by 16."""

    def __init__(self, settings: OutlineNetSettings | None = None) -> None:
        """Weights with which the coarse outline stays as it is."""
        chosen = settings or OutlineNetSettings()
        super().__init__(CHANNELS, chosen)
        self.settings = chosen
        for parameter in self.mask_head.parameters():
            with torch.no_grad():
                parameter[:4] = 0  # the four pixels of the first hint

    def forward(self, look: Tensor) -> Tensor:
        """See the class."""
        soft = look[:, SOFT].clamp(LEAST, 1 - LEAST)
        return torch.log(soft / (1 - soft)) + super().forward(look * 2 - 1)
