"""EyeNet: lids, iris, pupil and blink from one grey eye image.

An encoder down to 1/16 of the image and a decoder with lateral connections up to 1/2. From the
coarsest features come lids and iris as a first guess; heat maps (mean position: integral
regression, Sun et al. 2018) pull the guess to what the decoder sees. The pupil is the centre and
the second moments of a soft mask, with the iris as a weak prior for an eye whose pupil is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.eyes.contract import LID_POINTS, SIZE_PX

LID_VALUES = 2 * 2 * LID_POINTS
ANCHORS = 2 * LID_POINTS + 1  # lid points, then the iris's centre
MASKS = 3
PUPIL_MASK, IRIS_MASK, OPENING_MASK = range(MASKS)  # each includes what lies inside of it
COARSE_PX = SIZE_PX // 16
MASK_PX = SIZE_PX // 2
PRIOR_AREA = 1.0 / MASK_PX**2  # a pupil mask of one of its pixels weighs as much as the iris
PUPIL_OF_IRIS = 0.4  # the prior's diameter over the iris's
FLAT = 0.02  # contrast below which an image is not stretched to the usual one


@dataclass(frozen=True)
class EyeNetSettings:
    """Widths of the network."""

    channels: tuple[int, int, int, int] = (16, 32, 48, 80)  # at 1/2 .. 1/16
    blocks: tuple[int, int, int] = (1, 1, 1)  # residual blocks at 1/4 .. 1/16
    squeezed: int = 24  # channels of what the first guess is read from
    hidden: int = 64


@dataclass(frozen=True)
class EyeOutputs:
    """What the network says of a batch; logits where the exported network gives probabilities."""

    lids: Tensor  # (B,2,9,2) shares of the image's side
    pupil: Tensor  # (B,5) centre x, y, second moments xx, xy, yy, same unit
    iris: Tensor  # (B,5)
    verdicts: Tensor  # (B,2) logits: closed, an eye
    masks: Tensor  # (B,3,S/2,S/2) logits: visible pupil, iris, opening
    anchors: Tensor  # (B,19,2) lid points and iris centre as the heat maps show them


class EyeNet(nn.Module):
    """(B,1,S,S) grey in 0..1 -> EyeOutputs."""

    mask_grid: Tensor
    anchor_grid: Tensor

    def __init__(self, settings: EyeNetSettings | None = None) -> None:
        """Random weights."""
        super().__init__()
        self.settings = settings = settings or EyeNetSettings()
        widths = settings.channels
        half, quarter, _, coarse = widths
        self.stem = _conv(1, half, size=5, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(_conv(before, after, stride=2), *(_Residual(after) for _ in range(count)))
            for (before, after), count in zip(pairwise(widths), settings.blocks, strict=True)
        )
        self.laterals = nn.ModuleList(
            _conv(after, before, size=1) for before, after in pairwise(widths)
        )
        self.refiners = nn.ModuleList(_conv(width, width) for width in widths[:-1])
        self.mask_head = nn.Conv2d(half, MASKS, 1)
        self.anchor_head = nn.Conv2d(quarter, ANCHORS, 1)
        self.squeeze = _conv(coarse, settings.squeezed, size=1)
        self.hidden = nn.Linear(settings.squeezed * COARSE_PX**2, settings.hidden)
        self.shape = nn.Linear(settings.hidden, LID_VALUES + 5)
        self.pull = nn.Linear(2 * ANCHORS, 2 * ANCHORS, bias=False)
        self.pupil_change = nn.Linear(settings.hidden, 4)  # shift x, y; logarithm of growth
        self.verdicts = nn.Linear(settings.hidden + MASKS, 2)
        # Constants of the exported graph, not weights.
        self.register_buffer("mask_grid", pixel_grid(MASK_PX), persistent=False)
        self.register_buffer("anchor_grid", pixel_grid(MASK_PX // 2), persistent=False)
        _start(self)

    def forward(self, eye: Tensor) -> EyeOutputs:
        """Run on a batch of grey images, (B,1,S,S) in 0..1."""
        features = [self.stem(_stretched(eye))]
        for stage in self.stages:
            features.append(stage(features[-1]))
        merged = features[-1]
        decoded: dict[int, Tensor] = {}
        for level in (2, 1, 0):
            lateral = functional.interpolate(self.laterals[level](merged), scale_factor=2.0)
            merged = decoded[level] = self.refiners[level](features[level] + lateral)
        masks, maps = self.mask_head(merged).float(), self.anchor_head(decoded[1]).float()
        hidden = torch.relu(self.hidden(self.squeeze(features[-1]).flatten(1))).float()
        with torch.autocast(eye.device.type, enabled=False):  # geometry needs every digit
            anchors = heat_means(maps, self.anchor_grid)
            lids, iris = self._drawn(hidden, anchors)
            areas = torch.sigmoid(masks).mean((2, 3))
            return EyeOutputs(
                lids=lids,
                pupil=self._pupil(masks[:, PUPIL_MASK], iris, hidden),
                iris=iris,
                verdicts=self.verdicts(torch.cat([hidden, areas * 10], dim=1)),
                masks=masks,
                anchors=anchors,
            )

    def _drawn(self, hidden: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Lids (B,2,9,2) and iris (B,5): the guess, moved to where the heat maps are."""
        guess = self.shape(hidden)
        points, spread = guess[:, : 2 * ANCHORS], guess[:, 2 * ANCHORS :]
        points = points + self.pull(anchors.flatten(1) - points)
        lids = points[:, :LID_VALUES].reshape(-1, 2, LID_POINTS, 2)
        # A triangular root keeps the moments those of an ellipse.
        wide, skew, high = spread[:, 0], spread[:, 1], spread[:, 2]
        moments = torch.stack([wide * wide, wide * skew, skew * skew + high * high], dim=1)
        return lids, torch.cat([points[:, LID_VALUES:], moments], dim=1)

    def _pupil(self, logits: Tensor, iris: Tensor, hidden: Tensor) -> Tensor:
        """Centre and moments of the mask (B,H,W), with a little of the iris, and a correction.

        The mask is squared: then a background that is only nearly empty weighs nothing.
        """
        share = torch.sigmoid(logits).flatten(1).square()
        whole = share.mean(1, keepdim=True) + PRIOR_AREA
        centre = ((share[:, None] * self.mask_grid).mean(2) + PRIOR_AREA * iris[:, :2]) / whole
        off = self.mask_grid - centre[:, :, None]  # before squaring: half precision has few digits
        own = ((share[:, None] * off) @ off.transpose(1, 2) / MASK_PX**2).flatten(1)
        prior = iris[:, 2:] * PUPIL_OF_IRIS**2 + _squares(iris[:, :2] - centre)
        change = self.pupil_change(hidden)
        wide, high = torch.exp(change[:, 2:3]), torch.exp(change[:, 3:4])
        stretch = torch.cat([wide * wide, wide * high, high * high], dim=1)
        return torch.cat(
            [centre + change[:, :2], (own[:, [0, 1, 3]] + PRIOR_AREA * prior) / whole * stretch],
            dim=1,
        )


class ExportedEyeNet(nn.Module):
    """The network as exported: probabilities, in the contract's order."""

    def __init__(self, network: EyeNet) -> None:
        """Wrap a trained network."""
        super().__init__()
        self.network = network

    def forward(self, eye: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B,1,S,S) -> lids, pupil, iris, verdicts of `eye_net_contract`."""
        said = self.network(eye)
        return said.lids, said.pupil, said.iris, torch.sigmoid(said.verdicts)


def heat_means(maps: Tensor, grid: Tensor) -> Tensor:
    """Mean position (B,A,2) of heat maps (B,A,H,W) given as logits, on a `pixel_grid` (2,H*W)."""
    heat = torch.softmax(maps.flatten(2), dim=-1)
    means: Tensor = heat @ grid.T
    return means


def pixel_grid(side: int) -> Tensor:
    """(2,side²) x and y of the pixels' middles in a square map, 0..1."""
    middles = (torch.arange(side) + 0.5) / side
    return torch.stack([middles.repeat(side), middles.repeat_interleave(side)])


def _squares(centre: Tensor) -> Tensor:
    """(B,3) xx, xy, yy of centres (B,2)."""
    x, y = centre[:, :1], centre[:, 1:]
    return torch.cat([x * x, x * y, y * y], dim=1)


def _stretched(eye: Tensor) -> Tensor:
    """Even out the camera's exposure and contrast; what is almost flat stays so."""
    off = eye - eye.mean((2, 3), keepdim=True)
    contrast = off.square().mean((2, 3), keepdim=True).sqrt()
    stretched: Tensor = off / (contrast + FLAT)
    return stretched


def _start(network: EyeNet) -> None:
    """A middling eye, half-way pulled to the heat maps."""
    across = torch.linspace(0.15, 0.85, LID_POINTS)
    arch = 0.12 * torch.sin(torch.linspace(0, torch.pi, LID_POINTS))
    upper = torch.stack([across, 0.5 - arch], dim=1)
    lower = torch.stack([across, 0.5 + arch], dim=1)
    iris = torch.tensor([0.5, 0.5, 0.08, 0.0, 0.08])
    with torch.no_grad():
        network.shape.weight.mul_(0.1)
        network.shape.bias.copy_(torch.cat([upper.flatten(), lower.flatten(), iris]))
        network.pull.weight.copy_(0.5 * torch.eye(2 * ANCHORS))
        network.pupil_change.weight.zero_()
        network.pupil_change.bias.zero_()
        assert network.mask_head.bias is not None
        network.mask_head.bias.copy_(torch.tensor([-3.0, -2.0, -1.0]))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.second(self.first(features)))


def _conv(before: int, after: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
