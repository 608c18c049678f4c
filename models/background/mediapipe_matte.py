"""Which pixels of a picture are the person, by MediaPipe's selfie segmentation on the CPU.

Used when a profile is made, never while a session runs: it does not know headsets. Its network is
part of the mediapipe wheel. mediapipe is imported on first use only.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mediapipe_mesh import quiet_stderr

ImageU8 = NDArray[np.uint8]


class PersonMatter:
    """Draws mattes; use as a context manager."""

    def __init__(self) -> None:
        """Prepare; the network is loaded on entering."""
        self._graph: Any = None

    def __enter__(self) -> PersonMatter:
        """Load the network; RuntimeError or ImportError where mediapipe cannot."""
        with quiet_stderr():
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._graph = SelfieSegmentation(model_selection=0)
            self._graph.process(np.zeros((64, 64, 3), np.uint8))  # greets on its first picture
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the network."""
        self._graph.close()

    def matte(self, image: ImageU8) -> ImageU8:
        """(H,W) uint8 for an (H,W,3) BGR image: 255 = the person, 0 = what is behind."""
        found = self._graph.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).segmentation_mask
        return np.asarray(np.clip(found, 0, 1) * 255 + 0.5, np.uint8)
