"""M-CSAM: removal of a covering object by a gated encoder-decoder with attention at several scales.

After Yang: "Face Mask Removal with Region-attentive Face Inpainting", 2024. Four gated layers down,
three multi-scale channel-spatial attention modules, four gated layers up with skips; a U-Net of its
own finds the covering object. The paper does not give the widths; these are ours, and make less
than half of its parameters. A fifth skip, at full size, leads into the layer that draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.contract import TensorContract, recurrent_contract
from models.inpainting.evi_hrnet import GatedConv
from models.peers.checks import check_seen, check_size
from models.peers.peer import Peer, States

DILATIONS = (1, 2, 4, 8)
LEVELS = 4
ATTENTION_MODULES = 3


@dataclass(frozen=True)
class MCsamSettings:
    """What tells one M-CSAM network from another."""

    width: int = 64
    size_px: int = 128
    seen: int = 4  # first channels of the contract: known RGB and mask
    middle: str = "attention"  # or "plain": a 3×3 convolution in the place of each module

    def __post_init__(self) -> None:
        """Refuse sizes that do not halve evenly, and middles that do not exist."""
        check_seen(self.seen)
        check_size(self.size_px, 2**LEVELS)
        if self.middle not in ("attention", "plain"):
            raise ValueError(f"middle must be 'attention' or 'plain', got '{self.middle}'")

    @property
    def contract(self) -> TensorContract:
        """Tensor contract; no states, each frame is filled alone."""
        return recurrent_contract(self.size_px)


class MultiScaleAttention(nn.Module):
    """Multi-scale channel-spatial attention module: (N,C,H,W) -> (N,C,H,W)."""

    def __init__(self, channels: int) -> None:
        """Split `channels` over four dilated convolutions; attend over them as one volume."""
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv2d(channels, channels // len(DILATIONS), 3, padding=d, dilation=d)
            for d in DILATIONS
        )
        self.attend = nn.Conv3d(1, 1, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Weigh what the scales see by channel and place; add it to `x`."""
        seen = functional.leaky_relu(torch.cat([scale(x) for scale in self.scales], 1), 0.2)
        attention = torch.sigmoid(self.attend(seen[:, None])[:, 0])
        return x + seen + self.weight * attention * seen


class MCsam(Peer):
    """The inpainting network; each frame alone."""

    settings: MCsamSettings

    def __init__(self, settings: MCsamSettings) -> None:
        """Build the layers of `settings`, untrained."""
        super().__init__()
        self.settings = settings
        w = settings.width
        widths = [w << level for level in range(LEVELS)]
        self.enter = _gated(settings.seen, w, 5)
        self.down = nn.ModuleList(
            _gated(inputs, outputs, 4, stride=2)
            for inputs, outputs in zip([w, *widths[:-1]], widths, strict=True)
        )
        self.middle = nn.Sequential(
            *(_middle(settings.middle, widths[-1]) for _ in range(ATTENTION_MODULES))
        )
        # Each layer up also sees the map of its own size from the way down.
        self.up = nn.ModuleList(
            _gated(2 * outputs, inputs, 3, upsample=True)
            for inputs, outputs in zip([w, *widths[:-1]], widths, strict=True)
        )
        self.draw = _gated(2 * w, 3, 3, activated=False)

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        x, _ = self.enter(inputs[:, : self.settings.seen], [], 1)
        kept = [x]
        for layer in self.down:
            x, _ = layer(x, [], 1)
            kept.append(x)
        x = self.middle(x)
        for layer in reversed(self.up):
            x, _ = layer(torch.cat([x, kept.pop()], 1), [], 1)
        drawn, _ = self.draw(torch.cat([x, kept.pop()], 1), [], 1)
        return drawn, []


class CoverSegmenter(nn.Module):
    """The U-Net that finds the covering object: RGB (N,3,S,S) in 0..1 -> (N,1,S,S) in 0..1."""

    def __init__(self, width: int = 64) -> None:
        """Build four blocks down and four up; `width` channels in the first one."""
        super().__init__()
        widths = [width << level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            _block(inputs, outputs)
            for inputs, outputs in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.middle = _block(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            _block(2 * outputs, inputs)
            for inputs, outputs in zip([width, *widths[:-1]], widths, strict=True)
        )
        self.draw = nn.Conv2d(width, 1, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        """How far each pixel belongs to the covering object."""
        x, kept = rgb, []
        for block in self.down:
            x = block(x)
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.middle(x)
        for block in reversed(self.up):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, kept.pop()], 1))
        return torch.sigmoid(self.draw(x))


def _gated(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    upsample: bool = False,
    activated: bool = True,
) -> GatedConv:
    return GatedConv(
        inputs, outputs, kernel,
        stride=stride, shift="none", upsample=upsample, activated=activated,
    )  # fmt: skip


def _middle(kind: str, channels: int) -> nn.Module:
    if kind == "attention":
        return MultiScaleAttention(channels)
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
