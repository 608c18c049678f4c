"""Runs CoverNet on a face and says which parts of it are covered. No torch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.covers.contract import COVER_NET, COVERED, CROP, REGIONS, SIZE_PX
from models.engine.onnx import open_session
from models.face.alignment import crop_from_mesh, cut_crop
from models.shipped import WEIGHTS_FOLDER, check_manifest

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

SHIPPED_COVER_NET = WEIGHTS_FOLDER / "cover_net.onnx"


class CoverReader:
    """A loaded CoverNet."""

    def __init__(self, path: Path = SHIPPED_COVER_NET) -> None:
        """Load and verify the network; raises WeightsError if it cannot be used."""
        check_manifest(path, COVER_NET)
        self._session = open_session(path, threads=1)

    def covered(self, image: ImageU8, mesh: Float32Array) -> dict[str, float]:
        """Probability 0..1 per region of `REGIONS` that something lies over it.

        Args:
            image: (H,W,3) uint8 BGR.
            mesh: (478,3) px of the face.
        """
        crop = cut_crop(image, crop_from_mesh(mesh, SIZE_PX), SIZE_PX)
        planes = cv2.dnn.blobFromImage(crop, 1 / 255, swapRB=True)
        (found,) = self._session.run([COVERED], {CROP: planes})
        return dict(zip(REGIONS, (float(chance) for chance in found[0]), strict=True))
