"""HeadsetNet: outline of the headset, face mesh under it and heads in view, from one crop.

An encoder of residual blocks down to 1/32 of the crop; a decoder with lateral connections gives
the outline at half the crop's resolution, a map at 1/8 says where heads are. The mesh is read from
the coarsest features as coordinates in a basis of mesh shapes, and then moved to where the decoder
sees some fifty anchor points (mean of a heat map: integral regression, Sun et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.face.mesh import POINT_COUNT
from models.headset.contract import HEAD_CHANNELS, SIZE_PX

MESH_VALUES = 3 * POINT_COUNT
# Mesh points that are looked for one by one: oval, lips, nose, eyes, brows, cheeks.
ANCHORS = (
    *(10, 297, 284, 389, 454, 361, 397, 379, 400, 152, 176, 150, 172, 132, 234, 162, 54, 67),
    *(61, 291, 0, 17, 13, 14, 37, 267, 4, 1, 2, 98, 327, 168, 6, 195),
    *(33, 133, 362, 263, 159, 145, 386, 374, 468, 473, 70, 105, 107, 336, 334, 300),
    *(50, 280, 205, 425, 101, 330),
)
COARSE_PX = SIZE_PX // 32
LEAST_SPREAD = 1e-3  # of the crop's side: a fifth of a pixel


@dataclass(frozen=True)
class HeadsetNetSettings:
    """Widths of the network."""

    channels: tuple[int, int, int, int, int] = (16, 32, 56, 96, 144)  # at 1/2 .. 1/32
    blocks: tuple[int, int, int, int] = (1, 2, 2, 1)  # residual blocks at 1/4 .. 1/32
    shape_values: int = 96  # coordinates in the basis of mesh shapes


@dataclass(frozen=True)
class HeadsetOutputs:
    """What the network says of a batch; logits where the exported network gives probabilities."""

    mask: Tensor  # (B,1,S/2,S/2) logits
    mesh: Tensor  # (B,478,3) shares of the crop's side
    anchors: Tensor  # (B,A,2) the ANCHORS as the heat maps show them, same unit
    log_spread: Tensor  # (B,478) natural logarithm of the expected error, same unit
    presence: Tensor  # (B,2) logits: face, headset
    heads: Tensor  # (B,5,S/8,S/8) two logits, offset, log side


class HeadsetNet(nn.Module):
    """(B,3,S,S) RGB in 0..1 -> HeadsetOutputs."""

    def __init__(self, settings: HeadsetNetSettings | None = None) -> None:
        """Random weights; `start_from_shapes` gives the mesh a basis to start with."""
        super().__init__()
        self.settings = settings = settings or HeadsetNetSettings()
        widths = settings.channels
        half, quarter, eighth, _, coarse = widths
        self.stem = conv_block(3, half, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                conv_block(before, after, stride=2), *(ResidualBlock(after) for _ in range(count))
            )
            for before, after, count in zip(widths[:-1], widths[1:], settings.blocks, strict=True)
        )
        self.laterals = nn.ModuleList(
            conv_block(after, before, size=1) for before, after in pairwise(widths)
        )
        self.refiners = nn.ModuleList(
            [
                conv_block(half, half),
                conv_block(quarter, quarter),
                conv_block(eighth, eighth),
                nn.Identity(),
            ]
        )
        self.mask_head = nn.Conv2d(half, 1, 3, padding=1)
        heads = nn.Conv2d(32, HEAD_CHANNELS, 1)
        self.heads_head = nn.Sequential(conv_block(eighth, 32), heads)
        self.squeeze = conv_block(coarse, 48, size=1)
        self.hidden = nn.Linear(48 * COARSE_PX**2, 192)
        self.shape = nn.Linear(192, settings.shape_values)
        self.mesh_basis = nn.Linear(settings.shape_values, MESH_VALUES)
        self.anchor_head = nn.Conv2d(quarter, len(ANCHORS), 1)
        self.anchor_pull = nn.Linear(2 * len(ANCHORS), MESH_VALUES, bias=False)
        nn.init.zeros_(self.anchor_pull.weight)
        self.spread_head = nn.Linear(192, POINT_COUNT)
        self.presence_head = nn.Linear(192, 2)
        nn.init.constant_(self.spread_head.bias, -3.5)
        assert heads.bias is not None
        nn.init.constant_(heads.bias[:2], -4.0)  # almost every cell holds no head

    def start_from_shapes(self, mean: Tensor, basis: Tensor) -> None:
        """Let the mesh start as `mean` (1434,) + coordinates times `basis` (K,1434)."""
        with torch.no_grad():
            self.mesh_basis.bias.copy_(mean)
            self.mesh_basis.weight.zero_()
            count = min(len(basis), self.settings.shape_values)
            self.mesh_basis.weight[:, :count] = basis[:count].T

    def forward(self, crop: Tensor) -> HeadsetOutputs:
        """Run on a batch of crops, (B,3,S,S) RGB in 0..1."""
        features = [self.stem(crop * 2 - 1)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        merged = features[-1]
        decoded: dict[int, Tensor] = {}
        for level in (3, 2, 1, 0):
            lateral = functional.interpolate(self.laterals[level](merged), scale_factor=2.0)
            merged = decoded[level] = self.refiners[level](features[level] + lateral)
        code = self.squeeze(features[-1]).flatten(1)
        with torch.autocast(crop.device.type, enabled=False):  # geometry needs every digit
            hidden = torch.relu(self.hidden(code.float()))
            mesh = self.mesh_basis(self.shape(hidden)).view(-1, POINT_COUNT, 3)
            anchors = heat_means(self.anchor_head(decoded[1].float()))
            off = (anchors - mesh[:, ANCHORS, :2]).flatten(1)
            mesh = mesh + self.anchor_pull(off).view(-1, POINT_COUNT, 3)
            log_spread, presence = self.spread_head(hidden), self.presence_head(hidden)
        return HeadsetOutputs(
            mask=self.mask_head(merged),
            mesh=mesh,
            anchors=anchors,
            log_spread=log_spread,
            presence=presence,
            heads=self.heads_head(decoded[2]),
        )


class ExportedHeadsetNet(nn.Module):
    """The network as exported: probabilities and spreads, in the contract's order."""

    def __init__(self, network: HeadsetNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(B,3,S,S) -> mask, mesh, spread, presence, heads of `headset_net_contract`."""
        said = self.network(crop)
        found = torch.sigmoid(said.heads[:, :2])
        return (
            torch.sigmoid(said.mask),
            said.mesh,
            torch.exp(said.log_spread) + LEAST_SPREAD,
            torch.sigmoid(said.presence),
            torch.cat([found, said.heads[:, 2:]], dim=1),
        )


def heat_means(maps: Tensor) -> Tensor:
    """Mean position (B,A,2) of heat maps (B,A,H,W) given as logits; 0..1 over width and height."""
    height, width = maps.shape[-2:]
    heat = torch.softmax(maps.flatten(2).float(), dim=-1)
    rows = (torch.arange(height, device=maps.device) + 0.5) / height
    columns = (torch.arange(width, device=maps.device) + 0.5) / width
    grid = torch.stack(
        [columns.expand(height, width).flatten(), rows[:, None].expand(height, width).flatten()],
        dim=1,
    )
    return heat @ grid


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        """Keep the number of channels."""
        super().__init__()
        self.first = conv_block(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B,C,H,W) -> the same shape."""
        return torch.relu(features + self.second(self.first(features)))


def conv_block(before: int, after: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU."""
    convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
