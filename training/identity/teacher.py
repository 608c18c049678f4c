"""dlib's face recognition network, the teacher: it sees the bare face, the student the covered one.

Weights: 8-bit port of dlib's ResNet in face-api (MIT; dlib's own are CC0).
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from models.identity.network import BLOCKS, DLIB_MEAN
from training.helper_weights import HelperWeightsError

FILE = "dlib_resnet128_faceapi_fp16.safetensors"
NAMES = (*(spec.name for spec in BLOCKS), "conv256_1", "conv256_2", "conv256_down_out")


def teacher_weights(folder: Path) -> dict[str, Tensor]:
    """Its tensors by the port's names.

    Raises:
        HelperWeightsError: the folder does not hold them.
    """
    try:
        return {name: value.float() for name, value in load_file(folder / FILE).items()}
    except (SafetensorError, OSError) as error:
        raise HelperWeightsError(
            f"{folder / FILE} cannot be read ({error}); name its folder with --helper-weights"
        ) from error


def teacher_embeddings(weights: dict[str, Tensor], chips: Tensor) -> Tensor:
    """(B,3,150,150) RGB 0..255 aligned chips -> (B,128); one person's are nearer than 0.6."""
    x = (chips - chips.new_tensor(DLIB_MEAN).view(1, 3, 1, 1)) / 255
    x = functional.relu(_layer(weights, x, "conv32_down", 2))
    x = functional.max_pool2d(x, 3, 2)
    for name in NAMES:
        stride = 2 if "down" in name else 1
        inner = functional.relu(_layer(weights, x, f"{name}.conv1", stride))
        x = functional.relu(sum_padded(x, _layer(weights, inner, f"{name}.conv2", 1), stride))
    return x.mean((2, 3)) @ weights["fc"]


def sum_padded(features: Tensor, inner: Tensor, stride: int) -> Tensor:
    """A block's input, reduced and padded with zeros as its inner result is, plus that result."""
    if stride == 2:
        features = functional.avg_pool2d(features, 2)
        missing = inner.shape[1] - features.shape[1]
        features = functional.pad(features, (0, 0, 0, 0, 0, max(missing, 0)))
        rows, columns = features.shape[-2:]
        inner = functional.pad(inner, (0, columns - inner.shape[-1], 0, rows - inner.shape[-2]))
    return features + inner


def _layer(weights: dict[str, Tensor], x: Tensor, name: str, stride: int) -> Tensor:
    padding = 1 if stride == 1 else 0
    filters, bias = weights[f"{name}.conv.filters"], weights[f"{name}.conv.bias"]
    x = functional.conv2d(x, filters, bias, stride, padding)
    scale, shift = weights[f"{name}.scale.weights"], weights[f"{name}.scale.biases"]
    return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
