"""What a frozen network reads from a face: seven expressions.

The expression network of face-api (MIT): a small densely connected one on a 112 px face box.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.clips.faces import Float32Array, ImageU8
from training.helper_weights import DEFAULT_FOLDER, read_tensors

FILE = "expression7_faceapi_fp16.safetensors"
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
INPUT_PX = 112
FACE_SHARE = 0.9  # of the input that the mesh's extent fills: as a face detector's box
MEAN_RGB = (122.782, 117.001, 104.298)
STAGES = 4


class ExpressionNetwork:
    """Probabilities of `EXPRESSIONS`; frozen, gradients reach the input."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """Look through the network of `weights`, by the names of face-api."""
        self._weights = weights

    def probabilities(self, faces: Tensor) -> Tensor:
        """(N,7), rows summing to 1, of RGB face boxes (N,3,112,112) in 0..255."""
        x = (faces - faces.new_tensor(MEAN_RGB).view(1, 3, 1, 1)) / 255
        for stage in range(STAGES):
            x = self._dense(x, f"dense{stage}", first=stage == 0)
        x = functional.avg_pool2d(x, 7, 2).flatten(1)
        return (x @ self._weights["fc.weights"] + self._weights["fc.bias"]).softmax(1)

    def _dense(self, x: Tensor, name: str, *, first: bool) -> Tensor:
        """Four convolutions, each fed with the sum of those before it."""
        if first:
            filters = self._weights[f"{name}.conv0.filters"]
            x = functional.conv2d(_even(x), filters, self._weights[f"{name}.conv0.bias"], 2)
        else:
            x = self._separable(x, f"{name}.conv0", 2)
        total = functional.relu(x)
        for index in (1, 2, 3):
            total = total + self._separable(functional.relu(total), f"{name}.conv{index}", 1)
        return functional.relu(total)

    def _separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        depthwise = self._weights[f"{name}.depthwise_filter"]
        x = _even(x) if stride == 2 else functional.pad(x, (1, 1, 1, 1))
        x = functional.conv2d(x, depthwise, None, stride, groups=len(depthwise))
        pointwise, bias = (self._weights[f"{name}.{part}"] for part in ("pointwise_filter", "bias"))
        return functional.conv2d(x, pointwise, bias)


def load_expression_network(folder: Path = DEFAULT_FOLDER) -> ExpressionNetwork:
    """Read the network.

    Raises:
        HelperWeightsError: the folder does not hold it.
    """
    return ExpressionNetwork(read_tensors(folder / FILE, needed="fc.weights"))


def face_boxes(images: ImageU8, meshes: Float32Array) -> Tensor:
    """RGB face boxes (N,3,112,112) in 0..255 of BGR images with meshes (N,478,>=2) px."""
    boxes = [_face_box(image, mesh) for image, mesh in zip(images, meshes, strict=True)]
    rgb = np.ascontiguousarray(np.stack(boxes)[..., ::-1])
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).float()


def _face_box(image: ImageU8, mesh: Float32Array) -> NDArray[np.uint8]:
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    scale = FACE_SHARE * INPUT_PX / max(float((high - low).max()), 1e-6)
    x, y = INPUT_PX / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    size = (INPUT_PX, INPUT_PX)
    box = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(box, np.uint8)


def _even(x: Tensor) -> Tensor:
    """Padding of a stride-2 convolution over an even side: after the end only."""
    return functional.pad(x, (0, 1, 0, 1))
