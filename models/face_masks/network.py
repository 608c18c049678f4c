"""FaceMaskNet: which pixels of a head's crop a face mask, a scarf or their straps cover.

A `MaskUNet` on HeadsetNet's own trunk down to 1/16 of the crop, so that it can start from what that
has learnt of heads, hands, hair and glasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.mask_unet import MaskUNet, MaskUNetSettings


@dataclass(frozen=True)
class FaceMaskNetSettings(MaskUNetSettings):
    """Widths of the network; the defaults are HeadsetNet's."""

    channels: tuple[int, ...] = (16, 32, 56, 96)
    blocks: tuple[int, ...] = (1, 2, 2)


class FaceMaskNet(MaskUNet):
    """(B,3,S,S) RGB in 0..1 -> (B,1,S,S) logits of face mask; S divides by 16."""

    def __init__(self, settings: FaceMaskNetSettings | None = None) -> None:
        """Random weights; `start_from_headset_net` gives the trunk better ones."""
        chosen = settings or FaceMaskNetSettings()
        super().__init__(3, chosen)
        self.settings = chosen

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
        return super().forward(crop * 2 - 1)
