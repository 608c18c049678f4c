"""FacePrintNet: who a face is, from its visible part alone, as a unit vector of 128 values.

The first ten residual blocks and the narrowing one after them are those of dlib's face recognition
ResNet (King 2017, weights CC0), which saw millions of faces; a mean over the visible places and one
linear layer per window follow. Training starts from dlib's weights and goes on with covered faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.identity.contract import VALUES
from models.identity.face_chip import BARE, WINDOWS

# dlib's input: RGB 0..255 minus this, over 255 in the port that gives the weights.
DLIB_MEAN = (122.782, 117.001, 104.298)


@dataclass(frozen=True)
class BlockSpec:
    """One residual block; `name` is the port's."""

    name: str
    channels_in: int
    channels_out: int

    @property
    def narrows(self) -> bool:
        """Whether it halves the resolution."""
        return self.name.endswith("down")


BLOCKS = (
    *(BlockSpec(f"conv32_{k}", 32, 32) for k in (1, 2, 3)),
    BlockSpec("conv64_down", 32, 64),
    *(BlockSpec(f"conv64_{k}", 64, 64) for k in (1, 2, 3)),
    BlockSpec("conv128_down", 64, 128),
    *(BlockSpec(f"conv128_{k}", 128, 128) for k in (1, 2)),
    BlockSpec("conv256_down", 128, 256),
)
FROZEN_BLOCKS = 7  # their filters serve any face, covered or not


class FacePrintNet(nn.Module):
    """(B,4,R,150) -> the embeddings (B,128) of the windows BARE and LOWER."""

    mean: Tensor

    def __init__(self) -> None:
        """Random weights; `start_from` gives dlib's."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(DLIB_MEAN).view(1, 3, 1, 1) / 255)
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.blocks = nn.ModuleList(_Block(spec) for spec in BLOCKS)
        self.heads = nn.ModuleDict({w.name: _Head(BLOCKS[-1].channels_out) for w in WINDOWS})

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Take over dlib's filters; keys as in the port (`conv32_down.conv.filters`, ...)."""
        with torch.no_grad():
            _fold(self.stem, weights, "conv32_down")
            for block, spec in zip(self.blocks, BLOCKS, strict=True):
                assert isinstance(block, _Block)
                _fold(block.first, weights, f"{spec.name}.conv1")
                _fold(block.second, weights, f"{spec.name}.conv2")

    def fit_head(self, window_name: str, features: Tensor, wanted: Tensor, ridge: float) -> None:
        """Start a head with the best linear map from `pooled` features (N,256) to (N,128)."""
        head = self.heads[window_name]
        assert isinstance(head, _Head)
        head.fit(features, wanted, ridge)

    def trained_parameters(self) -> list[nn.Parameter]:
        """What training changes: the later blocks and the heads."""
        parts = [*self.blocks[FROZEN_BLOCKS:], self.heads]
        return [parameter for part in parts for parameter in part.parameters()]

    def forward(self, chip: Tensor) -> tuple[Tensor, Tensor]:
        """Embed chips, unit vectors for (bare, lower); the one of the chip's window counts."""
        pooled = self.pooled(chip)
        bare, lower = (functional.normalize(self.heads[w.name](pooled)) for w in WINDOWS)
        return bare, lower

    def pooled(self, chip: Tensor) -> Tensor:
        """(B,256) means of the last features over the visible places."""
        visible = chip[:, 3:]
        features = (chip[:, :3] - self.mean) * visible
        features = functional.max_pool2d(functional.relu(self.stem(features)), 3, 2)
        visible = functional.avg_pool2d(functional.avg_pool2d(visible, 7, 2), 3, 2)
        for index, (block, spec) in enumerate(zip(self.blocks, BLOCKS, strict=True)):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= FROZEN_BLOCKS):
                features = block(features)
            if spec.narrows:
                visible = functional.avg_pool2d(visible, 2)
        weight = visible + 1e-4  # a chip that shows nothing has an embedding too
        height, width = features.shape[-2:]
        weight = functional.pad(weight, (0, width - weight.shape[-1], 0, height - weight.shape[-2]))
        return (features * weight).sum((2, 3)) / weight.sum((2, 3))

    def embedding(self, chip: Tensor, window_name: str) -> Tensor:
        """The one embedding that counts for a window."""
        said: tuple[Tensor, Tensor] = self(chip)
        return said[0] if window_name == BARE.name else said[1]


class _Head(nn.Module):
    """Standardises features, then one linear layer."""

    shift: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.linear = nn.Linear(features, VALUES)

    def forward(self, features: Tensor) -> Tensor:
        embedded: Tensor = self.linear((features - self.shift) * self.scale)
        return embedded

    def fit(self, features: Tensor, wanted: Tensor, ridge: float) -> None:
        """Start with the linear map that best gives `wanted` (N,128) of `features` (N,256)."""
        with torch.no_grad():
            self.shift.copy_(features.mean(0))
            self.scale.copy_(1 / (features.std(0) + 1e-3))
            x = (features - self.shift) * self.scale
            normal = x.T @ x + ridge * len(x) * torch.eye(x.shape[1])
            centre = wanted.mean(0)
            self.linear.weight.copy_(torch.linalg.solve(normal, x.T @ (wanted - centre)).T)
            self.linear.bias.copy_(centre)


class _Block(nn.Module):
    """dlib's: without batch statistics, the narrowing ones padded with empty channels."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        self.spec = spec
        stride, padding = (2, 0) if spec.narrows else (1, 1)
        self.first = nn.Conv2d(spec.channels_in, spec.channels_out, 3, stride, padding)
        self.second = nn.Conv2d(spec.channels_out, spec.channels_out, 3, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.second(functional.relu(self.first(features)))
        if self.spec.narrows:
            features = functional.avg_pool2d(features, 2)
            missing = self.spec.channels_out - self.spec.channels_in
            features = functional.pad(features, (0, 0, 0, 0, 0, missing))
            rows, columns = features.shape[-2:]
            inner = functional.pad(inner, (0, columns - inner.shape[-1], 0, rows - inner.shape[-2]))
        return functional.relu(features + inner)


def _fold(convolution: nn.Conv2d, weights: dict[str, Tensor], name: str) -> None:
    """Convolution, then scale and shift per channel, as one convolution."""
    scale = weights[f"{name}.scale.weights"]
    convolution.weight.copy_(weights[f"{name}.conv.filters"] * scale.view(-1, 1, 1, 1))
    assert convolution.bias is not None
    convolution.bias.copy_(weights[f"{name}.conv.bias"] * scale + weights[f"{name}.scale.biases"])
