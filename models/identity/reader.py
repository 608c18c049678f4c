"""Runs FacePrintNet on face chips. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.engine.onnx import open_session
from models.identity.contract import CHIP, FACE_PRINT
from models.identity.face_chip import WIDTH_PX, FaceChip, Window, network_input
from models.shipped import WEIGHTS_FOLDER, check_manifest

Float32Array = NDArray[np.float32]

SHIPPED_FACE_PRINT = WEIGHTS_FOLDER / "face_print.onnx"


class FacePrintReader:
    """A loaded FacePrintNet."""

    def __init__(self, path: Path = SHIPPED_FACE_PRINT) -> None:
        """Load and verify the network; raises WeightsError if it cannot be used."""
        self.manifest = check_manifest(path, FACE_PRINT)
        self._session = open_session(path, threads=1)

    @property
    def version(self) -> str:
        """Which network it is: embeddings of different ones cannot be compared."""
        return str(self.manifest["sha256"])[:16]

    def read(self, chip: FaceChip, window: Window) -> Float32Array:
        """(128,) unit vector: who the face in a window is."""
        if chip.image.shape != (window.rows, WIDTH_PX, 3):
            raise ValueError(f"a chip of {chip.image.shape} is not the window {window.name}")
        (said,) = self._session.run([window.name], {CHIP: network_input(chip)})
        return np.asarray(said[0], np.float32)
