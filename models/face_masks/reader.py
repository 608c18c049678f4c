"""Runs FaceMaskNet on a head's crop. No torch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.engine.onnx import open_session
from models.face.mesh import CHIN, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER
from models.face_masks.contract import CROP, FACE_MASK_NET, MASK, SIZE_PX
from models.shipped import WEIGHTS_FOLDER, check_manifest

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

SHIPPED_FACE_MASK_NET = WEIGHTS_FOLDER / "face_mask_net.onnx"
MOUTH_AND_CHIN = (*LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER, CHIN, 175, 199, 200, 148, 377)


class FaceMaskReader:
    """A loaded FaceMaskNet."""

    def __init__(self, path: Path = SHIPPED_FACE_MASK_NET, threads: int = 1) -> None:
        """Load and verify the network; raises WeightsError if it cannot be used."""
        check_manifest(path, FACE_MASK_NET)
        self._session = open_session(path, threads)

    def read(self, crop: ImageU8) -> Float32Array:
        """Probability (S,S) of face mask in a crop (S,S,3) uint8 BGR; S is the contract's."""
        if crop.shape != (SIZE_PX, SIZE_PX, 3) or crop.dtype != np.uint8:
            raise ValueError(
                f"expected a ({SIZE_PX},{SIZE_PX},3) uint8 crop, got {crop.shape} {crop.dtype}"
            )
        planes = cv2.dnn.blobFromImage(crop, 1 / 255, swapRB=True)
        (found,) = self._session.run([MASK], {CROP: planes})
        return np.asarray(found[0, 0], np.float32)


def worn_share(mask: Float32Array, mesh: Float32Array) -> float:
    """Mean probability of mask (S,S) at mouth and chin of a mesh (478,>=2) in shares of S."""
    places = np.floor(mesh[list(MOUTH_AND_CHIN), :2] * len(mask)).astype(int)
    columns, rows = places.clip(0, len(mask) - 1).T
    return float(mask[rows, columns].mean())
