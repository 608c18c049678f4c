"""Blink fidelity: whether the filled face's lids follow the truth's.

Lids are found on the filled frames by MediaPipe's face mesh, as they are on bare faces, and
their aperture is correlated with that of the clip's own mesh; the same is done on the true
frames, which says what the measure itself can see.
"""

from __future__ import annotations

from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mediapipe_mesh import FaceMesher
from training.clips.faces import Float32Array, ImageU8
from training.eyes.live_motion import EyeMotion, EyeScores, motion_true

SEARCH_PX = 256  # smaller crops are enlarged: the detector misses small faces
FEWEST_FRAMES = 8  # a correlation of fewer says nothing


class EyeFinder:
    """Finds meshes on filled frames; use as a context manager."""

    def __init__(self) -> None:
        """Prepare; the models are loaded on entering."""
        self._mesher = FaceMesher()

    def __enter__(self) -> EyeFinder:
        """Load the models."""
        self._mesher.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the models."""
        self._mesher.close()

    def meshes(self, images: ImageU8) -> Float32Array:
        """(N,478,3) px of the frames (N,S,S,3) of one clip; NaN where no face is seen."""
        self._mesher.forget()  # else its first frames depend on the clip before
        found = np.full((len(images), 478, 3), np.nan, np.float32)
        scale = max(SEARCH_PX / images.shape[1], 1.0)
        for index, image in enumerate(images):
            enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            for mesh in self._mesher.meshes(np.asarray(enlarged, np.uint8))[:1]:
                found[index] = mesh / np.float32(scale)
        return found


def add_blinks(
    scores: EyeScores, found: Float32Array, truth: Float32Array, reference: Float32Array
) -> None:
    """Compare the eyes of meshes found on a filled clip with the true ones, both (N,478,3) px.

    `reference` (478,3) has the eyes from which gaze counts. Frames without a face are left out;
    a clip with fewer than `FEWEST_FRAMES` others does not count.
    """
    seen: NDArray[np.bool_] = np.isfinite(found[:, 0, 0])
    if seen.sum() < FEWEST_FRAMES:
        return
    whole = motion_true(truth, reference)  # lids of all frames say how far this eye opens
    true = EyeMotion(whole.openness[seen], whole.gaze[seen])
    scores.add(motion_true(found[seen], reference), true)
