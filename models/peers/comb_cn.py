"""CombCN: structure by a 3D network at half resolution, then detail by a 2D network per frame.

After Wang, Huang, Han, Wang: "Video Inpainting by Jointly Learning Temporal Structure and Spatial
Details", AAAI 2019; sizes of the re-implementation that the LGTSM paper compares with. It looks
both ways in time, so it fills whole clips only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.contract import KNOWN_RGB, MASK, TensorContract, recurrent_contract
from models.peers.checks import check_size
from models.peers.peer import Peer, States, kept_background

SEEN = 4  # known RGB and mask
DETAIL_DILATIONS = (2, 4, 8)


@dataclass(frozen=True)
class CombCnSettings:
    """What tells one CombCN from another."""

    width: int = 64  # of the detail network; the structure network has a quarter of it
    size_px: int = 128

    def __post_init__(self) -> None:
        """Refuse sizes that do not halve evenly."""
        check_size(self.size_px, 8)
        if self.width % 4:
            raise ValueError(f"width must divide by 4, got {self.width}")

    @property
    def contract(self) -> TensorContract:
        """Tensor contract; no states, as the network sees the whole clip at once."""
        return recurrent_contract(self.size_px)


class StructureNet(nn.Module):
    """3D network at half resolution: (B,4,T,S,S) -> (B,3,T,S,S)."""

    def __init__(self, width: int) -> None:
        """Build for `width` channels in the first layer, 16 as published."""
        super().__init__()
        w = width
        self.conv1 = _conv3d(SEEN, w, 5)
        self.conv2 = _conv3d(w, 2 * w, 3, stride=2)
        self.conv3 = _conv3d(2 * w, 4 * w, 3)
        self.conv4 = _conv3d(4 * w, 8 * w, 3, stride=2)
        self.dilated = nn.Sequential(
            _conv3d(8 * w, 16 * w, 3, dilation=2),
            _conv3d(16 * w, 16 * w, 3, dilation=4),
            _conv3d(16 * w, 16 * w, 3, dilation=8),
            _conv3d(16 * w, 8 * w, 3),
        )
        self.deconv1 = _Deconv3d(16 * w, 4 * w)
        self.conv5 = _conv3d(8 * w, 2 * w, 3)
        self.deconv2 = _Deconv3d(4 * w, w)
        self.draw = nn.Conv3d(w, 3, 3, padding=1)

    def forward(self, clips: Tensor) -> Tensor:
        """Draw the frames of `clips`; layers of one size are linked."""
        half = self.conv2(self.conv1(clips))
        third = self.conv3(half)
        fourth = self.conv4(third)
        x = self.deconv1(torch.cat([self.dilated(fourth), fourth], 1))
        x = self.conv5(torch.cat([x, third], 1))
        x = self.deconv2(torch.cat([x, half], 1))
        drawn: Tensor = self.draw(x)
        return drawn


class DetailNet(nn.Module):
    """2D network at full resolution: (N,4,S,S) and structure (N,3,S/2,S/2) -> (N,3,S,S)."""

    def __init__(self, width: int) -> None:
        """Build 17 layers for `width` channels in the first one, 64 as published."""
        super().__init__()
        w = width
        self.encoder = nn.ModuleList(
            [
                _conv2d(SEEN, w, 5),
                _conv2d(w, 2 * w, 3, stride=2),
                _conv2d(2 * w + 3, 2 * w, 3),
                _conv2d(2 * w, 4 * w, 3, stride=2),
                *(_conv2d(4 * w, 4 * w, 3) for _ in range(2)),
                *(_conv2d(4 * w, 4 * w, 3, dilation=d) for d in DETAIL_DILATIONS),
            ]
        )
        # Layer i also sees the output of layer 17 - i.
        self.decoder = nn.ModuleList(
            [
                _conv2d(8 * w, 4 * w, 3, dilation=16),
                *(_conv2d(8 * w, 4 * w, 3) for _ in range(2)),
                _deconv2d(8 * w, 2 * w),
                _conv2d(4 * w, 2 * w, 3),
                _deconv2d(4 * w + 3, w),
                _conv2d(2 * w, w // 2, 3),
            ]
        )
        self.draw = nn.Conv2d(w // 2, 3, 3, padding=1)

    def forward(self, frames: Tensor, structure: Tensor) -> Tensor:
        """Draw (N,3,S,S); the structure enters where maps have its size, going down and up."""
        x, kept = frames, []
        for number, layer in enumerate(self.encoder, 1):
            x = layer(torch.cat([x, structure], 1) if number == 3 else x)
            kept.append(x)
        for number, layer in enumerate(self.decoder, 10):
            linked = [x, kept[16 - number]]
            x = layer(torch.cat([*linked, structure] if number == 15 else linked, 1))
        drawn: Tensor = self.draw(x)
        return drawn


class CombCn(Peer):
    """Both networks, one after the other; offline."""

    is_online = False
    settings: CombCnSettings

    def __init__(self, settings: CombCnSettings) -> None:
        """Build the layers of `settings`, untrained."""
        super().__init__()
        self.settings = settings
        self.drawn_structure: Tensor | None = None  # of the last clip, for its supervision
        self.structure = StructureNet(settings.width // 4)
        self.detail = DetailNet(settings.width)

    def half_size_fill(self, inputs: Tensor, frames: int) -> Tensor:
        """Structure (B*T,3,S/2,S/2) with known pixels kept; supervised in training, too."""
        small = functional.avg_pool2d(inputs[:, :SEEN], 2)
        mask = (small[:, MASK] > 0).to(small.dtype)  # a pixel hidden in part is hidden
        small = torch.cat([small[:, KNOWN_RGB] * (1 - mask), mask], 1)
        clips = small.reshape(-1, frames, *small.shape[1:]).transpose(1, 2)
        drawn = self._structure_of(clips).transpose(1, 2).flatten(0, 1)
        return kept_background(small, drawn)

    def _structure_of(self, clips: Tensor) -> Tensor:
        if clips.device.type != "cpu":
            drawn: Tensor = self.structure(clips)
            return drawn
        # In bfloat16 oneDNN's gradients of 3D filters are garbage for clips of two frames.
        with torch.autocast("cpu", enabled=False):
            drawn = self.structure(clips.float())
        return drawn

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        structure = self.half_size_fill(inputs, frames)
        if self.training:
            self.drawn_structure = structure
        return self.detail(inputs[:, :SEEN], structure), []


class _Deconv3d(nn.Module):
    """Transposed convolution that doubles height and width and keeps the number of frames."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(inputs, outputs, 4, (1, 2, 2), 1, bias=False)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        # A kernel of four in time gives one frame too many.
        return torch.relu(self.norm(self.conv(x)[:, :, : x.shape[2]]))


def _conv3d(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    conv = nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))


def _conv2d(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _deconv2d(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
