"""LGTSM: the gated network with a learnable temporal shift that EVI-HRnet grew from.

After Chang, Liu, Lee, Hsu: "Learnable Gated Temporal Shift Module for Deep Video Inpainting", BMVC
2019: 17 gated layers without skips or attention. Offline as published (each layer looks one frame
back and one ahead), online with the shift from the past alone, or without a shift, frame by frame.
Up-sampling is bilinear, as the paper says (its code repeats pixels); maps keep an even size
throughout, where the published first layer cuts a rim off and the second pads it on again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from models.contract import TensorContract, TensorSpec, evi_hrnet_contract, recurrent_contract
from models.inpainting.evi_hrnet import DILATIONS, GatedConv
from models.inpainting.temporal_shift import fold_channels
from models.peers.checks import check_seen
from models.peers.peer import Peer, States

LgtsmShift = Literal["online", "offline"]


@dataclass(frozen=True)
class LgtsmSettings:
    """What tells one LGTSM from another."""

    width: int = 64
    size_px: int = 128
    seen: int = 5  # first channels of the contract: known RGB, mask, contours; 8: reference, too
    shift: LgtsmShift = "online"

    def __post_init__(self) -> None:
        """Refuse shifts and sizes that do not exist."""
        check_seen(self.seen)
        if self.shift not in ("online", "offline"):
            raise ValueError(f"shift must be 'online' or 'offline', got '{self.shift}'")
        evi_hrnet_contract(self.width, self.size_px)  # refuses what does not divide

    @property
    def contract(self) -> TensorContract:
        """Tensor contract; the states are EVI-HRnet's and one more, as the first layer shifts."""
        layers = evi_hrnet_contract(self.width, self.size_px)
        if self.shift == "offline":
            return replace(layers, states=())
        shape = (1, fold_channels(self.seen), self.size_px, self.size_px)
        return recurrent_contract(self.size_px, [TensorSpec("state_conv1", shape), *layers.states])


class GatedSkeleton(nn.Module):
    """The 17 gated layers: (B*T,`seen`,S,S) -> (B*T,3,S,S)."""

    def __init__(self, width: int, seen: int, shift: Literal["online", "offline", "none"]) -> None:
        """Build for `width` channels in the first layer; every layer has the same shift."""
        super().__init__()
        w = width

        def gated(
            inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1
        ) -> GatedConv:
            return GatedConv(inputs, outputs, kernel, stride=stride, dilation=dilation, shift=shift)

        self.layers = nn.ModuleList(
            [
                gated(seen, w, 5),
                gated(w, 2 * w, 4, stride=2),
                gated(2 * w, 2 * w),
                gated(2 * w, 4 * w, 4, stride=2),
                *(gated(4 * w, 4 * w) for _ in range(2)),
                *(gated(4 * w, 4 * w, dilation=dilation) for dilation in DILATIONS),
                *(gated(4 * w, 4 * w) for _ in range(2)),
                GatedConv(4 * w, 2 * w, 3, shift=shift, upsample=True),
                gated(2 * w, 2 * w),
                GatedConv(2 * w, w, 3, shift=shift, upsample=True),
                gated(w, w // 2),
                GatedConv(w // 2, 3, 3, shift=shift, activated=False),
            ]
        )

    def forward(self, x: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        """Draw the frames; `states`, one per layer with an online shift, come back anew."""
        pending, after = list(states), []
        for layer in self.layers:
            x, following = layer(x, pending, frames)
            after.extend(following)
        return x, after


class Lgtsm(Peer):
    """The network; offline it sees whole clips only."""

    settings: LgtsmSettings

    def __init__(self, settings: LgtsmSettings) -> None:
        """Build the layers of `settings`, untrained."""
        super().__init__()
        self.settings = settings
        self.is_online = settings.shift == "online"
        self.skeleton = GatedSkeleton(settings.width, settings.seen, settings.shift)

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        drawn: tuple[Tensor, States] = self.skeleton(
            inputs[:, : self.settings.seen], states, frames
        )
        return drawn
