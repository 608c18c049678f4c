"""EfficientNet-Lite0 (Tan and Le, ICML 2019; ImageNet): features for a frame Fréchet distance."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from training.helper_weights import DEFAULT_FOLDER, read_tensors

FILE = "efficientnet_lite0_fp16.safetensors"
FEATURES = 1280
INPUT_PX = 224
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks, stride of the first
STRIDES = tuple(first if i == 0 else 1 for count, first in STAGES for i in range(count))
FLOOR = 1e-3  # added to variances


class EfficientNetLite0:
    """Features of pictures; frozen."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Look through the network of `weights`, by the names of the PyTorch port."""
        self._weights = weights

    @torch.inference_mode()
    def features(self, rgb: Tensor) -> Tensor:
        """(N,1280) before the classifier, of pictures (N,3,H,W) in 0..1, brought to 224 px."""
        return self._maps(rgb).mean((2, 3))

    @torch.inference_mode()
    def classes(self, rgb: Tensor) -> Tensor:
        """(N,1000) probabilities of the ImageNet classes."""
        weights, bias = self._weights["_fc.weight"], self._weights["_fc.bias"]
        return functional.linear(self.features(rgb), weights, bias).softmax(1)

    def _maps(self, rgb: Tensor) -> Tensor:
        size = (INPUT_PX, INPUT_PX)
        x = functional.interpolate(rgb, size, mode="bilinear", antialias=True)
        x = (x * 255 - 127) / 128
        x = functional.relu6(self._normalised(self._convolved(x, "_conv_stem", 2), "_bn0"))
        for index, stride in enumerate(STRIDES):
            x = self._block(x, f"_blocks.{index}", stride)
        return functional.relu6(self._normalised(self._convolved(x, "_conv_head"), "_bn1"))

    def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
        y = x
        if f"{name}._expand_conv.weight" in self._weights:
            y = self._convolved(y, f"{name}._expand_conv")
            y = functional.relu6(self._normalised(y, f"{name}._bn0"))
        y = self._convolved(y, f"{name}._depthwise_conv", stride, groups=y.shape[1])
        y = functional.relu6(self._normalised(y, f"{name}._bn1"))
        y = self._normalised(self._convolved(y, f"{name}._project_conv"), f"{name}._bn2")
        return x + y if stride == 1 and x.shape == y.shape else y

    def _convolved(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = self._weights[f"{name}.weight"]
        missing = max(kernel.shape[-1] - (stride if x.shape[-1] % stride == 0 else 1), 0)
        before = missing // 2
        padded = functional.pad(x, (before, missing - before) * 2)
        return functional.conv2d(padded, kernel, None, stride, groups=groups)

    def _normalised(self, x: Tensor, name: str) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, variance, scale, shift = (self._weights[f"{name}.{part}"] for part in parts)
        return functional.batch_norm(x, mean, variance, scale, shift, eps=FLOOR)


def load_efficientnet(folder: Path = DEFAULT_FOLDER) -> EfficientNetLite0:
    """Read the network.

    Raises:
        HelperWeightsError: the folder does not hold it.
    """
    return EfficientNetLite0(read_tensors(folder / FILE, needed="_conv_head.weight"))
