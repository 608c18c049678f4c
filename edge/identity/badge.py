"""The visible mark "restored" on pictures in which a face was filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from streaming.publisher import is_synthesised
from streaming.records import ImageU8, RestoredFace

if TYPE_CHECKING:
    from edge.pipeline import FacePublisher

WORD = "restored"
FONT = cv2.FONT_HERSHEY_SIMPLEX
HEIGHT_SHARE, LEAST_PX, MOST_PX = 0.05, 9, 22  # of the picture's height; height of the mark
PAPER, INK = (32, 32, 32), (255, 255, 255)


class Badging:
    """A publisher whose restored pictures carry the mark."""

    def __init__(self, publisher: FacePublisher) -> None:
        """Send through `publisher`."""
        self._publisher = publisher

    @property
    def paused(self) -> bool:
        """Whether nothing is sent at the moment."""
        return self._publisher.paused

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Mark frame and crop, if any pixel of them was filled in, and send them."""
        if is_synthesised(face):
            face = dataclasses.replace(face, image=marked(face.image), crop=marked(face.crop))
        self._publisher.publish_restored(face, eyes, eye_ages_ns)


def marked(image: ImageU8) -> ImageU8:
    """A copy of a BGR picture (H,W,3) with the mark in its lower left corner."""
    if not image.size:
        return image
    height_px = round(min(max(HEIGHT_SHARE * image.shape[0], LEAST_PX), MOST_PX))
    scale = (height_px - 4) / cv2.getTextSize(WORD, FONT, 1.0, 1)[0][1]
    (width, _), below = cv2.getTextSize(WORD, FONT, scale, 1)
    left, bottom = 2, image.shape[0] - 3
    copy = image.copy()
    corner, end = (left, bottom - height_px - below), (left + width + 5, bottom)
    cv2.rectangle(copy, corner, end, PAPER, cv2.FILLED)
    place = (left + 3, bottom - below)
    cv2.putText(copy, WORD, place, FONT, scale, INK, 1, cv2.LINE_AA)
    return np.asarray(copy, np.uint8)
