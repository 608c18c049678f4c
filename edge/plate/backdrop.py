"""What a session knows of the room, put behind the wearer frame by frame."""

from __future__ import annotations

import logging

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.composite import Hole
from edge.plate.alignment import plate_in_frame
from edge.plate.part import HeadPlate
from edge.plate.room import Room
from models.face.mesh import CHIN
from models.filling import Filler, PlateFiller
from streaming.records import Float32Array, ImageU8

MaskU8 = NDArray[np.uint8]

log = logging.getLogger(__name__)

PERSON = 0.03  # of the matte: with more of the person in it a pixel shows no room
CLEARANCE = 3 / 128  # of the crop's side, around person and headset
LEARN_EVERY = 4  # frames: a look costs some milliseconds, and rooms keep still


class Backdrop:
    """Gives fillers the room behind the crop, and learns the room from the frames."""

    def __init__(self, plate: HeadPlate | None = None) -> None:
        """`plate` is the profile's; None: only what the session sees is known."""
        self._plate = plate
        self._room: Room | None = None
        self._is_room: NDArray[np.bool_] | None = None
        self._frames = 0

    def stand_behind(self, filler: Filler, crop: ImageU8, hole: Hole) -> None:
        """Tell the filler what is behind the crop (S,S,3) that it fills next."""
        if not isinstance(filler, PlateFiller):
            return
        filler.plate = None
        if self._room is not None and self._is_room is not None:
            # Where the person was a frame ago: it has not moved by more than the clearance.
            is_room = self._is_room & (_grown(hole.crop_hidden) == 0)
            filler.plate = self._room.behind(crop, is_room, hole.frame_from_crop)

    def learn(self, filler: Filler, frame: ImageU8, hole: Hole, mesh: Float32Array) -> None:
        """Look at the room that a frame (H,W,3) shows beside what the filler drew of the person.

        `mesh` (478,3) is that of the crop.
        """
        matte = filler.matte if isinstance(filler, PlateFiller) else None
        if matte is None:
            return
        self._is_room = _is_room(matte, hole.crop_hidden, mesh)
        self._frames += 1
        if self._room is None or self._room.is_outdated_for(frame.shape):
            self._room = self._begun(frame, hole.frame_from_crop)
        elif self._frames % LEARN_EVERY == 0:
            self._room.learn(frame, self._is_room, hole.frame_from_crop)

    def reset(self) -> None:
        """Forget where the person was; the room stays, but has to agree again before it shows."""
        self._is_room = None
        if self._room is not None:
            self._room.trust = 0.0

    def _begun(self, frame: ImageU8, frame_from_crop: Float32Array) -> Room:
        """A room seeded with the profile's, where that is found in the frame."""
        room = Room(frame.shape)
        if self._plate is None or self._is_room is None:
            return room
        size = (round(frame.shape[1] * room.scale), round(frame.shape[0] * room.scale))
        small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        motion = plate_in_frame(
            self._plate.room, self._plate.known, small, self._beside(size, frame, frame_from_crop)
        )
        if motion is None:
            log.info("the profile's room is not the one in view: it is learned anew")
            return room
        flags = cv2.INTER_LINEAR
        seen = np.asarray(cv2.warpAffine(self._plate.room, motion, size, flags=flags), np.uint8)
        known = cv2.warpAffine(self._plate.known, motion, size, flags=flags)
        room.seed(seen, np.asarray(known > 254, np.uint8))
        return room

    def _beside(
        self, size: tuple[int, int], frame: ImageU8, frame_from_crop: Float32Array
    ) -> MaskU8:
        """(h,w) where a frame scaled to `size` may show the room: not in the person's place."""
        person = (~np.asarray(self._is_room)).astype(np.uint8)
        placed = cv2.warpAffine(person, frame_from_crop, frame.shape[1::-1])
        return np.asarray(cv2.resize(placed, size) == 0, np.uint8)


def _is_room(matte: Float32Array, hidden: MaskU8, mesh: Float32Array) -> NDArray[np.bool_]:
    """(S,S) where a crop shows the room: above the chin, clear of person and headset."""
    person = ((matte > PERSON) | (hidden > 0)).astype(np.uint8)
    person[max(0, int(mesh[CHIN, 1])) :] = 1  # shoulders do not move with the head
    return np.asarray(_grown(person) == 0)


def _grown(mask: MaskU8) -> MaskU8:
    radius = max(1, round(CLEARANCE * len(mask)))
    return np.asarray(cv2.dilate(mask, np.ones((2 * radius + 1,) * 2, np.uint8)), np.uint8)
