"""The 478-point face mesh of a bare face, by MediaPipe on the CPU.

Used to make profiles, and as the oracle of simulations. It needs a visible face: under a headset
it guesses, which is why the product's own tracker exists. mediapipe is imported on first use only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

MAX_SIDE_PX = 1280  # larger images are reduced first: the detector itself works at 192 px
MIN_SIDE_PX = 16  # MediaPipe's graph fails on images of a few pixels; no face fits there anyway


class FaceMesher:
    """Finds face meshes in images; use as a context manager.

    With `tracking` the images are consecutive frames of one video: faster and steadier. Without
    it every image is searched afresh. `max_faces` above 1 makes tracking search in every frame.
    """

    def __init__(
        self, *, tracking: bool = True, max_faces: int = 1, min_confidence: float = 0.5
    ) -> None:
        """Prepare; the models are loaded on entering. `min_confidence` is in 0..1."""
        if max_faces < 1:
            raise ValueError(f"max_faces is {max_faces}; ask for at least one face")
        self._options = {
            "static_image_mode": not tracking,
            "max_num_faces": max_faces,
            "refine_landmarks": True,  # adds the ten iris points
            "min_detection_confidence": min_confidence,
            "min_tracking_confidence": min_confidence,
        }
        self._graph: Any = None

    def __enter__(self) -> FaceMesher:
        """Load the models (about a second)."""
        with quiet_stderr():
            self._graph = _face_mesh_class()(**self._options)
            # The first face makes the C++ side load everything and write its greetings.
            self._graph.process(_drawn_face())
            self._graph.reset()  # else tracking would go on from the drawing
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free the models."""
        self.close()

    def close(self) -> None:
        """Free the models; calling it twice is fine."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def forget(self) -> None:
        """Let the next image begin another video: `tracking` would go on from the last one.

        Raises RuntimeError outside the `with` block.
        """
        self._opened().reset()

    def meshes(self, image: ImageU8) -> list[Float32Array]:
        """Return one (478,3) float32 mesh per face of an (H,W,3) uint8 BGR image, none if none.

        Points are in px of `image`; z is on the same scale as x, smaller is nearer to the camera.
        Raises ValueError on another shape or dtype, RuntimeError outside the `with` block.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"expected an (H,W,3) uint8 BGR image, got {image.shape} {image.dtype}"
            )
        graph = self._opened()
        height, width = image.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            return []
        found = graph.process(_rgb_at_most(image, MAX_SIDE_PX)).multi_face_landmarks
        scale = np.array([width, height, width], np.float32)  # MediaPipe scales z like x
        return [_points(face.landmark) * scale for face in found or []]

    def _opened(self) -> Any:
        if self._graph is None:
            raise RuntimeError("FaceMesher is not open; use it as `with FaceMesher() as mesher:`")
        return self._graph


def _face_mesh_class() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")  # read once, when the C++ library loads
    from mediapipe.python.solutions.face_mesh import FaceMesh

    return FaceMesh


def _rgb_at_most(image: ImageU8, side_px: int) -> ImageU8:
    scale = side_px / max(image.shape[:2])
    if scale < 1.0:
        # A panorama's short side must not vanish.
        size = tuple(max(MIN_SIDE_PX, round(side * scale)) for side in image.shape[1::-1])
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _points(landmarks: Any) -> Float32Array:
    flat = [value for point in landmarks for value in (point.x, point.y, point.z)]
    return np.array(flat, np.float32).reshape(-1, 3)


def _drawn_face() -> ImageU8:
    """A cartoon that the detector takes for a face, (192,192,3)."""
    image = np.full((192, 192, 3), 200, np.uint8)
    cv2.ellipse(image, (96, 96), (48, 64), 0, 0, 360, (150, 180, 220), -1)
    cv2.ellipse(image, (96, 60), (50, 36), 0, 180, 360, (40, 50, 60), -1)  # hair
    for x in (76, 116):
        cv2.ellipse(image, (x, 86), (9, 5), 0, 0, 360, (245, 245, 245), -1)
        cv2.circle(image, (x, 86), 4, (40, 40, 40), -1)
        cv2.line(image, (x - 11, 74), (x + 11, 74), (50, 60, 70), 3)
    cv2.line(image, (96, 90), (92, 110), (110, 140, 180), 3)
    cv2.ellipse(image, (96, 130), (18, 6), 0, 0, 360, (90, 90, 190), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what C++ writes to file descriptor 2 meanwhile; Python's own errors still travel up."""
    sys.stderr.flush()
    kept = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(silence)
        os.close(kept)
