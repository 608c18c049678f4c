"""Whether a filled face is the same person with the same expression, as frozen networks see it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.identity.face_chip import WIDTH_PX, chip_from_frame
from training.clips.faces import Float32Array, ImageU8
from training.evaluation.expression import face_boxes, load_expression_network, probabilities
from training.helper_weights import DEFAULT_FOLDER
from training.identity.teacher import teacher_embeddings, teacher_weights
from training.loss_terms.faces import ExpressionNet

FloatArray = NDArray[np.float64]


class FaceReader:
    """Reads identity and expression of aligned faces."""

    def __init__(self, identity: dict[str, Tensor], expressions: ExpressionNet) -> None:
        """Look through dlib's recognition network and face-api's expression network."""
        self._identity, self._expressions = identity, expressions

    @torch.inference_mode()
    def identities(self, images: ImageU8, meshes: Float32Array) -> FloatArray:
        """(N,128) of BGR images (N,S,S,3) with meshes (N,478,3); one person's are < 0.6 apart."""
        chips = np.stack([_chip(image, mesh) for image, mesh in zip(images, meshes, strict=True)])
        rgb = torch.from_numpy(np.ascontiguousarray(chips[..., ::-1])).permute(0, 3, 1, 2).float()
        return np.asarray(teacher_embeddings(self._identity, rgb).double().numpy(), np.float64)

    @torch.inference_mode()
    def expressions(self, images: ImageU8, meshes: Float32Array) -> FloatArray:
        """(N,7) probabilities of `expression.EXPRESSIONS`."""
        seen = probabilities(self._expressions, face_boxes(images, meshes))
        return np.asarray(seen.double().numpy(), np.float64)


def load_face_reader(folder: Path = DEFAULT_FOLDER) -> FaceReader:
    """Read both networks.

    Raises:
        HelperWeightsError: the folder does not hold them.
    """
    return FaceReader(teacher_weights(folder), load_expression_network(folder))


def identity_distances(embeddings: FloatArray, others: FloatArray) -> FloatArray:
    """Euclidean distances (N,) of identities (N,128)."""
    return np.asarray(np.linalg.norm(embeddings - others, axis=1), np.float64)


def expression_differences(probabilities: FloatArray, others: FloatArray) -> FloatArray:
    """Mean absolute difference (N,) of class probabilities (N,7), 0..2/7."""
    return np.asarray(np.abs(probabilities - others).mean(1), np.float64)


def _chip(image: ImageU8, mesh: Float32Array) -> ImageU8:
    """dlib's face chip (150,150,3) of a picture."""
    size = (WIDTH_PX, WIDTH_PX)
    border = cv2.BORDER_REPLICATE
    return np.asarray(
        cv2.warpAffine(image, chip_from_frame(mesh), size, borderMode=border), np.uint8
    )
