"""Losses through frozen face networks: the same expression, the same person.

The expression loss compares the probabilities of an emotion network on truth and composite, as
Ghorbani Lohesara et al., 2023 do with HSEmotion (Savchenko). The default network is face-api's
(MIT, seven classes, small); HSEmotion's is loaded by its own package, which downloads it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.identity.face_chip import WIDTH_PX
from models.identity.network import DLIB_MEAN
from training.helper_weights import IMAGENET_MEAN, IMAGENET_STD, HelperWeightsError
from training.identity.teacher import teacher_embeddings, teacher_weights

EXPRESSION_FILE = "expression7_faceapi_fp16.safetensors"
FACE_API_PX, HSEMOTION_PX = 112, 224
HSEMOTION_MODEL = "enet_b0_8_best_afew"
BLOCKS, LAYERS = 4, 4


class ExpressionNet(nn.Module):
    """face-api's expression network: faces (N,3,112,112) RGB 0..1 -> logits (N,7).

    Four densely connected blocks of separable convolutions, each of which halves the map.
    """

    size_px = FACE_API_PX
    mean: Tensor

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Frozen, with the port's `weights` by their names."""
        super().__init__()
        self.weights = nn.ParameterDict({k.replace(".", "/"): v for k, v in weights.items()})
        self.register_buffer("mean", torch.tensor(DLIB_MEAN).view(1, 3, 1, 1) / 255)
        self.requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        """Logits: neutral, happy, sad, angry, fearful, disgusted, surprised."""
        x = faces - self.mean
        for block in range(BLOCKS):
            total = self._layer(x, block, 0)
            x = functional.relu(total)
            for layer in range(1, LAYERS):
                total = (
                    total + self._layer(x, block, layer)
                    if layer > 1
                    else x + self._layer(x, block, layer)
                )
                x = functional.relu(total)
        pooled = functional.avg_pool2d(x, 7, 2).flatten(1)
        return pooled @ self._weight("fc.weights") + self._weight("fc.bias")

    def _layer(self, x: Tensor, block: int, layer: int) -> Tensor:
        name = f"dense{block}.conv{layer}"
        stride = 2 if layer == 0 else 1
        if stride == 2:
            x = functional.pad(x, (0, 1, 0, 1))
        if block == 0 and layer == 0:
            filters = self._weight(f"{name}.filters")
            return functional.conv2d(x, filters, self._weight(f"{name}.bias"), stride)
        depthwise = self._weight(f"{name}.depthwise_filter")
        x = functional.conv2d(x, depthwise, None, stride, 2 - stride, 1, len(depthwise))
        pointwise = self._weight(f"{name}.pointwise_filter")
        return functional.conv2d(x, pointwise, self._weight(f"{name}.bias"))

    def _weight(self, name: str) -> Tensor:
        weight: Tensor = self.weights[name.replace(".", "/")]
        return weight


class HsEmotionNet(nn.Module):
    """HSEmotion's EfficientNet-B0: faces (N,3,224,224) RGB 0..1 -> logits (N,8)."""

    size_px = HSEMOTION_PX
    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Module, weight: Tensor, bias: Tensor) -> None:
        """Frozen: `features` gives (N,C), `weight` (8,C) and `bias` (8,) classify them."""
        super().__init__()
        self.features = features.eval()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        """Logits of the eight classes."""
        found: Tensor = self.features((faces - self.mean) / self.std)
        return functional.linear(found, self.get_buffer("weight"), self.get_buffer("bias"))


def expression_network(name: str, folder: Path) -> ExpressionNet | HsEmotionNet:
    """The frozen network of `[loss_settings] expression_network`.

    Raises:
        HelperWeightsError: its weights or its package are missing; says how to get them.
    """
    if name == "hsemotion":
        return _hsemotion()
    path = folder / EXPRESSION_FILE
    try:
        return ExpressionNet({key: value.float() for key, value in load_file(path).items()})
    except (SafetensorError, OSError) as error:
        raise HelperWeightsError(
            f"{path} cannot be read ({error}); convert model/face_expression_model.bin of the npm "
            "package @vladmandic/face-api, name its folder with --helper-weights, or set "
            "losses.expression=0"
        ) from error


def _hsemotion() -> HsEmotionNet:
    try:
        package: Any = importlib.import_module("hsemotion.facial_emotions")
    except ImportError as error:
        raise HelperWeightsError(
            "the package hsemotion is not installed; `pip install hsemotion timm`, or set "
            "loss_settings.expression_network=face-api"
        ) from error
    try:
        # Downloads the weights on first use. It takes the classifier off the network it loads.
        known = package.HSEmotionRecognizer(model_name=HSEMOTION_MODEL, device="cpu")
    except OSError as error:
        raise HelperWeightsError(
            f"hsemotion could not download {HSEMOTION_MODEL} ({error}); train where it can, once"
        ) from error
    weight, bias = (torch.as_tensor(v) for v in (known.classifier_weights, known.classifier_bias))
    return HsEmotionNet(known.model, weight.float(), bias.float())


class ExpressionLoss(nn.Module):
    """Mean absolute difference of expression probabilities between composite and truth."""

    def __init__(self, network: ExpressionNet | HsEmotionNet) -> None:
        """Look through a frozen `network`."""
        super().__init__()
        self.network = network

    def forward(self, composite: Tensor, truth: Tensor, faces: Tensor) -> Tensor:
        """Images (N,3,S,S) RGB 0..1; `faces` (N,10) px, see `feeding.streams.FACE_VALUES`."""
        size = self.network.size_px
        seen = torch.softmax(self.network(_face_boxes(composite, faces, size)).float(), 1)
        with torch.no_grad():
            wanted = torch.softmax(self.network(_face_boxes(truth, faces, size)).float(), 1)
        return functional.l1_loss(seen, wanted)


class IdentityLoss(nn.Module):
    """Mean distance of face descriptors (dlib's ResNet) between composite and truth."""

    def __init__(self, folder: Path) -> None:
        """Load the descriptor's weights; raises HelperWeightsError when they are missing."""
        super().__init__()
        weights = teacher_weights(folder)
        self.names = list(weights)
        for index, value in enumerate(weights.values()):
            self.register_buffer(f"weight{index}", value)

    def forward(self, composite: Tensor, truth: Tensor, faces: Tensor) -> Tensor:
        """Images (N,3,S,S) RGB 0..1; `faces` (N,10) px, see `feeding.streams.FACE_VALUES`."""
        weights = {name: self.get_buffer(f"weight{i}") for i, name in enumerate(self.names)}
        seen = teacher_embeddings(weights, _chips(composite, faces) * 255)
        with torch.no_grad():
            wanted = teacher_embeddings(weights, _chips(truth, faces) * 255)
        return (seen.float() - wanted.float()).square().sum(1).add(1e-8).sqrt().mean()


def _face_boxes(images: Tensor, faces: Tensor, size: int) -> Tensor:
    """The square around each face's mesh, (N,3,size,size)."""
    left, top, right, bottom = faces[:, :4].unbind(1)
    half = torch.maximum(right - left, bottom - top) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    nothing = torch.zeros_like(half)
    step = 2 * half / size  # px of the image per px of the crop
    rows = [step, nothing, x - half + step / 2, nothing, step, y - half + step / 2]
    return _sampled(images, torch.stack(rows, 1).view(-1, 2, 3), size)


def _chips(images: Tensor, faces: Tensor) -> Tensor:
    """The faces turned upright, (N,3,150,150)."""
    matrix = faces[:, 4:].view(-1, 2, 3)
    with torch.autocast(images.device.type, enabled=False):
        inverse = torch.linalg.inv(matrix[:, :, :2])
        shift = -(inverse @ matrix[:, :, 2:])
    return _sampled(images, torch.cat([inverse, shift], 2), WIDTH_PX)


def _sampled(images: Tensor, image_from_crop: Tensor, size: int) -> Tensor:
    """Bilinear samples at px given by matrices (N,2,3) from px of the crop."""
    axis = torch.arange(size, device=images.device, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3,size²)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would be off by a px
        found = (image_from_crop @ places).view(-1, 2, size, size).permute(0, 2, 3, 1)
    grid = (found + 0.5) * (2 / images.shape[-1]) - 1
    return functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
