"""Going on with an exported CoverNet: its weights from the ONNX file, ready to be trained again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from models.covers.network import CoverNet
from streaming.errors import UserError


def continued(path: Path, crops: Tensor) -> CoverNet:
    """The network of an exported file, with batch normalisation as training needs it.

    Export folds normalisation into the convolutions. It is unfolded again so that the network
    says the same as before: what `crops` (N,3,S,S) make of each folded convolution are the
    statistics, and scale and shift undo them.

    Raises:
        UserError: the file is no CoverNet of these settings.
    """
    network = CoverNet().eval()
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in network.features if isinstance(layer, nn.BatchNorm2d)]
    dense = [layer for layer in network.head if isinstance(layer, nn.Linear)]
    try:
        pairs = _weights(path)
        folded, last = pairs[: len(convolutions)], pairs[len(convolutions) :]
        with torch.no_grad():
            for layer, (weight, bias) in zip(dense, last, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
            x = crops - 0.5
            for convolution, norm, (weight, bias) in zip(convolutions, norms, folded, strict=True):
                convolution.weight.copy_(torch.from_numpy(weight))
                x = torch.relu(_unfold(convolution(x), norm, torch.from_numpy(bias)))
    except (OSError, ValueError, RuntimeError, DecodeError, KeyError) as error:
        raise UserError(f"{path} is no CoverNet to go on with: {error}.") from error
    return network


def _unfold(seen: Tensor, norm: nn.BatchNorm2d, bias: Tensor) -> Tensor:
    """Set `norm` so that it adds `bias` and nothing else; returns what it makes of `seen`."""
    mean, variance = seen.mean((0, 2, 3)), seen.var((0, 2, 3), unbiased=False)
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a normalisation without statistics")
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)
    return seen + bias[:, None, None]


def _weights(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(weight, bias) of every convolution and dense layer, in their order."""
    graph = onnx.load(str(path)).graph
    kept = {each.name: numpy_helper.to_array(each).copy() for each in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight, bias = (kept[name] for name in node.input[1:3])
            found.append((weight, bias))
    return found
