"""Making the plate from the frames of a capture, in which the face is bare."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import numpy as np

from edge.plate.part import HeadPlate
from edge.plate.room import plate_scale
from models.background.mediapipe_matte import PersonMatter
from models.filling import Reference
from streaming.records import ImageU8

log = logging.getLogger(__name__)

MOST_FRAMES = 24  # of a capture; the wearer moves slowly
LEAST_FRAMES = 2  # in which a pixel must have been seen
ROOM_MATTE = 8  # of 255: with more of the person in it a pixel shows no room
ROOM_CLEARANCE = 1 / 80  # of the frame's width: hair and compression reach beyond the matte


def plate_of_capture(frames: Sequence[ImageU8], views: Sequence[Reference]) -> HeadPlate | None:
    """The plate for a new profile, of (H,W,3) frames and its views; None without mediapipe's help.

    The room is the median of what the frames show of it.
    """
    try:
        with PersonMatter() as matter:
            mattes = tuple(matter.matte(view.image) for view in views)
            return HeadPlate(*_room(frames, matter), mattes)
    except (ImportError, RuntimeError) as error:
        log.warning("the profile gets no plate of the room: %s", error)
        return None


def _room(frames: Sequence[ImageU8], matter: PersonMatter) -> tuple[ImageU8, ImageU8]:
    chosen = np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int))
    shape = frames[0].shape
    pictures, seen = [], []
    for frame in (frames[index] for index in chosen):
        if frame.shape != shape:
            continue
        scale = plate_scale(shape)
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(np.asarray(small, np.uint8))
        seen.append(_is_room(matter.matte(pictures[-1])))
    return _median(np.stack(pictures), np.stack(seen))


def _is_room(matte: ImageU8) -> ImageU8:
    radius = max(2, round(ROOM_CLEARANCE * matte.shape[1]))
    person = cv2.dilate(matte, np.ones((2 * radius + 1,) * 2, np.uint8))
    return np.asarray(person <= ROOM_MATTE, np.uint8)


def _median(pictures: ImageU8, seen: ImageU8) -> tuple[ImageU8, ImageU8]:
    """Median over the frames (T,H,W,3) that saw each pixel, and where there were enough."""
    known = seen.sum(0) >= min(LEAST_FRAMES, len(seen))
    room = np.zeros(pictures.shape[1:], np.uint8)
    for row in range(len(room)):  # row by row: the whole stack in float would be large
        values = np.where(seen[:, row, :, None] > 0, pictures[:, row], np.nan)
        columns = known[row]
        if columns.any():
            room[row, columns] = np.nanmedian(values[:, columns], axis=0)
    return room, known.astype(np.uint8) * np.uint8(255)
