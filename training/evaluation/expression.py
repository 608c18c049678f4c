"""What a frozen network reads from a face: seven expressions.

The expression network of face-api (MIT), the one that the expression loss looks through.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.clips.faces import Float32Array, ImageU8
from training.helper_weights import DEFAULT_FOLDER, read_tensors
from training.loss_terms.faces import EXPRESSION_FILE, FACE_API_PX, ExpressionNet

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
FACE_SHARE = 0.9  # of the input that the mesh's extent fills: as a face detector's box


def load_expression_network(folder: Path = DEFAULT_FOLDER) -> ExpressionNet:
    """Read the network.

    Raises:
        HelperWeightsError: the folder does not hold it.
    """
    return ExpressionNet(read_tensors(folder / EXPRESSION_FILE, needed="fc.weights"))


def probabilities(network: ExpressionNet, faces: Tensor) -> Tensor:
    """(N,7), rows summing to 1, of RGB face boxes (N,3,112,112) in 0..255."""
    logits: Tensor = network(faces / 255)
    return logits.softmax(1)


def face_boxes(images: ImageU8, meshes: Float32Array) -> Tensor:
    """RGB face boxes (N,3,112,112) in 0..255 of BGR images with meshes (N,478,>=2) px."""
    boxes = [_face_box(image, mesh) for image, mesh in zip(images, meshes, strict=True)]
    rgb = np.ascontiguousarray(np.stack(boxes)[..., ::-1])
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).float()


def _face_box(image: ImageU8, mesh: Float32Array) -> NDArray[np.uint8]:
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    scale = FACE_SHARE * FACE_API_PX / max(float((high - low).max()), 1e-6)
    x, y = FACE_API_PX / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, x], [0, scale, y]])
    size = (FACE_API_PX, FACE_API_PX)
    box = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(box, np.uint8)
