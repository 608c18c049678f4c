"""Runs EyeNet on eye images and says what it sees in px of the image. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.engine.onnx import cpu_name, open_session
from models.eyes.contract import EYE, EYE_NET, eye_net_contract
from models.eyes.fit import EyeReading, ImageU8, fitted, reading_of
from models.shipped import WEIGHTS_FOLDER, check_manifest

SHIPPED_EYE_NET = WEIGHTS_FOLDER / "eye_net.onnx"
OUTPUTS = tuple(output.name for output in eye_net_contract().outputs)


class EyeReader:
    """A loaded EyeNet."""

    def __init__(self, path: Path = SHIPPED_EYE_NET, threads: int = 1) -> None:
        """Load and verify the network; raises WeightsError if it cannot be used."""
        self.manifest = check_manifest(path, EYE_NET)
        self._session = open_session(path, threads)

    @property
    def engine_name(self) -> str:
        """What runs it, such as `onnxruntime CPU FP32`."""
        return cpu_name(str(self.manifest.get("precision", "fp32")))

    def read(self, image: ImageU8) -> EyeReading:
        """Look at one (H,W) uint8 grey image of any size; raises ValueError for anything else."""
        if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"expected a (H,W) uint8 image, got {image.shape} {image.dtype}")
        eye = fitted(image)[None, None] * np.float32(1 / 255)
        lids, pupil, iris, verdicts = self._session.run(OUTPUTS, {EYE: eye})
        height, width = image.shape
        return reading_of((lids[0], pupil[0], iris[0], verdicts[0]), width, height)
