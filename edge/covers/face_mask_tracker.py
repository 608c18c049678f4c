"""Follows one face behind a face mask: MediaPipe finds it, FaceMaskNet finds the mask.

MediaPipe sees enough of a masked face to follow it; what it says of the hidden lower face is a
guess at anybody's, which the wearer's own takes the place of.
"""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.records import Capture, FaceTrack
from edge.settings import Landmarks
from edge.visibility import is_visible
from models.face.alignment import BoxSmoother, frame_from_box, head_box
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.face_masks.reader import worn_share
from models.headset.head_crop import crop_of_mesh
from models.headset.outline import Drawing, outline_in_frame
from models.lower_face import LowerFace, lengthened
from models.mesh_filter import MeshFilter
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

# Probability from which a pixel belongs to the mask, chosen on val clips: masks overlap by .984, by
# .983 from .45 on, which loses straps. A lower one reaches beyond the cloth's edges.
FACE_MASK = Drawing(level=0.42)
# MediaPipe takes faces behind masks for shorter than they are; by so much, as measured on train
# clips. On val ones hidden points then err by 5.9 % of the eye span, by 7.1 % without.
SHORTENED = 0.043
ON, OFF = 0.6, 0.35  # smoothed share of mouth and chin that is covered: put on, taken off
MASK_SECONDS = 0.12  # time constant of that smoothing
# Bare faces are seen whole; of masked ones the check of the person would see what we made up.
BARE_CONFIDENCE, MASKED_CONFIDENCE = 0.9, 0.5


class Mesher(Protocol):
    """What is needed of `models.face.mediapipe_mesh.FaceMesher`."""

    def meshes(self, image: ImageU8) -> list[Float32Array]:
        """(478,3) px of every face in an image."""
        ...

    def close(self) -> None:
        """Free it."""
        ...


class MaskReader(Protocol):
    """What is needed of `models.face_masks.reader.FaceMaskReader`."""

    def read(self, crop: ImageU8) -> Float32Array:
        """Probability of mask per pixel of a crop."""
        ...


class FaceMaskTracker:
    """Finds face and mask; see `edge.tracker.Tracker`."""

    name: Landmarks = "mediapipe"
    note = ""
    engine_name = "MediaPipe CPU"

    def __init__(
        self, size_px: int, mesher: Mesher, reader: MaskReader, lower_face: LowerFace
    ) -> None:
        """`mesher` is open; `lower_face` knows the wearer's."""
        self._size_px = size_px
        self._mesher, self._reader, self._lower_face = mesher, reader, lower_face
        self._smoother, self._filter = BoxSmoother(), MeshFilter()
        self._worn: float | None = None
        self._is_on = False
        self._time_ns = 0

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None; without a mask on it, nothing is hidden."""
        image, time_ns = capture.frame.image, capture.frame.capture_time_ns
        found = self._mesher.meshes(image)
        if not found:
            return None
        raw = found[0]
        crop = crop_of_mesh(raw)
        soft = self._reader.read(crop.cut(image))
        self._decide(worn_share(soft, crop.points_in_crop(raw)), time_ns)
        span_px = float(np.linalg.norm(raw[LEFT_EYE.outer_corner] - raw[RIGHT_EYE.outer_corner]))
        mesh = self._filter.steady(raw, span_px, time_ns)
        mask = np.zeros(image.shape[:2], np.uint8)
        if self._is_on:
            mask = outline_in_frame(soft, crop, image, FACE_MASK)
            seen = self._seen(mesh, mask)
            mesh = lengthened(self._lower_face.completed(mesh, seen), ~seen, SHORTENED)
        box = self._smoother.follow(head_box(mesh), time_ns)
        frame_from_crop = frame_from_box(box, self._size_px)
        confidence = MASKED_CONFIDENCE if self._is_on else BARE_CONFIDENCE
        visible = is_visible(mesh, mask)
        return FaceTrack(mesh, visible, mask, frame_from_crop, confidence, cover="face-mask")

    def reset(self) -> None:
        """Forget earlier frames."""
        self._worn, self._is_on = None, False
        self._smoother.reset()
        self._filter.reset()

    def close(self) -> None:
        """Free MediaPipe."""
        self._mesher.close()

    def _seen(self, mesh: Float32Array, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(478,) points beside the mask, both where MediaPipe and where the wearer has them."""
        seen = is_visible(mesh, mask)
        return np.asarray(seen & is_visible(self._lower_face.posed(mesh, seen), mask))

    def _decide(self, share: float, time_ns: int) -> None:
        """Whether a mask is worn, from how much of mouth and chin is covered."""
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        self._time_ns = time_ns
        if self._worn is None:
            self._worn, self._is_on = share, share >= ON
            return
        self._worn += (1.0 - float(np.exp(-seconds / MASK_SECONDS))) * (share - self._worn)
        is_on = self._worn >= (OFF if self._is_on else ON)
        if is_on != self._is_on:
            log.info("the face mask was %s", "put on" if is_on else "taken off")
        self._is_on = is_on
