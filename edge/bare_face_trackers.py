"""Trackers that look at bare faces: the simulation's truth, and MediaPipe.

`oracle` looks up the simulation's truth, `mediapipe` runs MediaPipe on the camera's own frame,
where it finds few faces that wear a headset.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.records import Capture, CoverKind, FaceTrack
from edge.settings import Landmarks
from edge.visibility import is_visible
from models.face.alignment import BoxSmoother, frame_from_box, head_box
from models.face.mediapipe_mesh import FaceMesher
from models.face.mesh import FACE_OVAL
from models.headset.box import headset_box
from streaming.errors import UserError
from streaming.records import Float32Array

log = logging.getLogger(__name__)

TWO_FACES = "two faces in view: following {}"
# Assumed headset when only a mesh is known: the least box, larger by these shares,
# so that it covers usual headsets.
ASSUMED_WIDTH, ASSUMED_HEIGHT = 1.05, 1.15


class OracleTracker:
    """Looks up what the simulated headset hides; for measuring everything but the tracking."""

    name: Landmarks = "oracle"
    note = engine_name = ""

    def __init__(self, size_px: int, cover: CoverKind = "headset") -> None:
        """Start without a face; `cover` is what the simulation puts on it."""
        self._size_px, self._cover = size_px, cover
        self._smoother = BoxSmoother()

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None.

        Raises:
            UserError: the frame comes from a real camera, which has no truth to look up.
        """
        truth = capture.truth
        if truth is None:
            raise UserError("The oracle knows only simulated headsets.", "Leave out --landmarks.")
        if truth.mesh is None:
            return None
        box = self._smoother.follow(head_box(truth.mesh), capture.frame.capture_time_ns)
        crop = frame_from_box(box, self._size_px)
        visible = is_visible(truth.mesh, truth.mask)
        return FaceTrack(truth.mesh, visible, truth.mask, crop, 1.0, self._cover)

    def reset(self) -> None:
        """Forget earlier frames."""
        self._smoother.reset()

    def close(self) -> None:
        """Nothing to free."""


class MediaPipeTracker:
    """Runs MediaPipe on the camera's frame; under a headset its guess is poor, and says so."""

    name: Landmarks = "mediapipe"
    engine_name = "MediaPipe CPU"

    def __init__(self, size_px: int, mesher: FaceMesher | None = None) -> None:
        """Load MediaPipe (about a second); `mesher` is an open one, for tests."""
        self._size_px = size_px
        self._smoother = BoxSmoother()
        self._mesher = mesher or FaceMesher(max_faces=2).__enter__()
        self._last: Float32Array | None = None
        self.note = ""

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None."""
        image = capture.frame.image
        meshes = self._mesher.meshes(image)
        self._tell_count(len(meshes))
        mesh = self._last = choose_face(meshes, self._last)
        if mesh is None:
            return None
        mask = assumed_mask(mesh, (image.shape[0], image.shape[1]))
        box = self._smoother.follow(head_box(mesh), capture.frame.capture_time_ns)
        crop = frame_from_box(box, self._size_px)
        return FaceTrack(mesh, is_visible(mesh, mask), mask, crop, 0.5)

    def reset(self) -> None:
        """Forget earlier frames."""
        self._last = None
        self._smoother.reset()

    def close(self) -> None:
        """Free MediaPipe."""
        self._mesher.close()

    def _tell_count(self, count: int) -> None:
        note = ""
        if count > 1:
            note = TWO_FACES.format("the same one" if self._last is not None else "the largest")
        if note and not self.note:
            log.warning("%s", note)
        self.note = note


def choose_face(
    meshes: Sequence[Float32Array], previous: Float32Array | None
) -> Float32Array | None:
    """The face nearest to the previous one, or the largest when there was none."""
    if not meshes:
        return None
    if previous is None:
        return max(meshes, key=face_area)
    centre = previous[:, :2].mean(axis=0)
    return min(meshes, key=lambda m: float(np.linalg.norm(m[:, :2].mean(axis=0) - centre)))


def face_area(mesh: Float32Array) -> float:
    """Area of the face oval's bounding box in px²."""
    oval = mesh[list(FACE_OVAL), :2]
    width, height = oval.max(axis=0) - oval.min(axis=0)
    return float(width * height)


def assumed_mask(mesh: Float32Array, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(H,W) 1 = where a headset is assumed over a face of which only the mesh is known."""
    mask = np.zeros(shape, np.uint8)
    corners = headset_box(mesh, ASSUMED_WIDTH, ASSUMED_HEIGHT).corners()
    cv2.fillConvexPoly(mask, np.round(corners).astype(np.int32), (1.0,))
    return mask
