"""Now and then a look at what else may cover the face than what is expected."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np

from edge.covers.face_mask_tracker import MaskReader
from edge.head_search import search_crops
from edge.records import FaceTrack
from models.face_masks.reader import worn_share
from models.headset.contract import CROP_SHARE
from models.headset.head_crop import HeadCrop, crop_of_mesh
from models.headset.reader import HeadsetReader
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

EVERY = 10  # frames between two looks
FILLED_EVERY = 30  # while the expected cover is found: a look costs 6 ms and will find nothing new
AGREEING = 2  # looks in a row before a verdict changes
LEAST_MASK = 0.7  # share of mouth and chin
LEAST_HEADSET, LEAST_FACE = 0.8, 0.5  # HeadsetNet's probabilities


class Witness(Protocol):
    """Says whether one kind of cover is in view."""

    def sees(self, image: ImageU8, track: FaceTrack | None) -> Float32Array | None:
        """Look at a frame (H,W,3), in which `track` was found.

        Returns the mesh (478,3) px of the face that is covered, or None.
        """
        ...


class FaceMaskWitness:
    """Looks for a face mask on a face that is tracked."""

    def __init__(self, reader: MaskReader) -> None:
        """Look by this network."""
        self._reader = reader

    def sees(self, image: ImageU8, track: FaceTrack | None) -> Float32Array | None:
        """See `Witness.sees`."""
        if track is None:
            return None
        crop = crop_of_mesh(track.mesh)
        soft = self._reader.read(crop.cut(image))
        share = worn_share(soft, crop.points_in_crop(track.mesh))
        return track.mesh if share >= LEAST_MASK else None


class HeadsetWitness:
    """Looks for a headset where the face is, or anywhere, one part of the frame a look."""

    def __init__(self, reader: HeadsetReader) -> None:
        """Look by this network."""
        self._reader = reader
        self._turn = 0

    def sees(self, image: ImageU8, track: FaceTrack | None) -> Float32Array | None:
        """See `Witness.sees`."""
        if track is not None:
            return self._worn(image, crop_of_mesh(track.mesh))
        crops = search_crops(image.shape)
        part = crops[self._turn % len(crops)]
        self._turn += 1
        heads = self._reader.read(part.cut(image)).heads
        found = next((head for head in heads if head.headset >= LEAST_HEADSET), None)
        if found is None:
            return None
        self._turn -= 1  # the next look goes to the same part: there it is
        matrix = part.frame_from_share
        centre = matrix[:, :2] @ found.centre + matrix[:, 2]
        side_px = found.side * part.side_px / CROP_SHARE
        return self._worn(image, HeadCrop(centre.astype(np.float32), side_px))

    def _worn(self, image: ImageU8, crop: HeadCrop) -> Float32Array | None:
        reading = self._reader.read(crop.cut(image))
        is_worn = reading.headset >= LEAST_HEADSET and reading.face >= LEAST_FACE
        return crop.mesh_in_frame(reading.mesh) if is_worn else None


class Watch:
    """Asks a witness now and then; its verdict changes when looks in a row agree."""

    def __init__(self, witness: Witness) -> None:
        """Start with nothing seen."""
        self._witness = witness
        self._frames = self._agreeing = 0
        self.mesh: Float32Array | None = None  # of the covered face, by the last look

    @property
    def is_seen(self) -> bool:
        """The verdict."""
        return self.mesh is not None

    def look(self, image: ImageU8, track: FaceTrack | None) -> None:
        """Take notice of a frame; every so often the witness looks at it."""
        is_filled = track is not None and bool(track.mask.any()) and not self.is_seen
        self._frames += 1
        if self._frames % (FILLED_EVERY if is_filled else EVERY) != 1:
            return
        mesh = self._witness.sees(image, track)
        if (mesh is None) is not self.is_seen:  # as before, but the face may have moved
            self.mesh, self._agreeing = mesh, 0
            return
        self._agreeing += 1
        if self._agreeing >= AGREEING:
            self.mesh, self._agreeing = mesh, 0

    def reset(self) -> None:
        """Forget what was seen."""
        self._frames = self._agreeing = 0
        self.mesh = None
