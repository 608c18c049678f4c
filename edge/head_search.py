"""Finding heads in a whole frame: crops of several sizes, each looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.headset.contract import CROP_SHARE
from models.headset.head_crop import HeadCrop
from models.headset.reader import HeadsetReader
from streaming.records import Float32Array, ImageU8

LEAST_FACE = 0.4  # probability from which a find is worth a closer look
SAME_HEAD = 0.4  # of its side: nearer centres are one head seen in two crops
MOST_PARTS = 4  # squares of the frame's height, besides the whole frame
# A head this small in its crop is placed badly: seen in a smaller crop as well, that one counts.
WELL_SEEN = 0.12


@dataclass(frozen=True)
class Candidate:
    """A head somewhere in the frame, before it was looked at closely."""

    centre: Float32Array  # (2,) px of the frame
    side_px: float  # of its head box
    face: float  # probabilities
    headset: float

    @property
    def crop(self) -> HeadCrop:
        """The crop to look closer at it."""
        return HeadCrop(self.centre, self.side_px / CROP_SHARE)


def search_crops(shape: tuple[int, ...]) -> list[HeadCrop]:
    """The whole frame (H,W,…) in one square, then overlapping squares of its shorter side."""
    height, width = shape[:2]
    middle = np.array([width, height], np.float32) / 2
    crops = [HeadCrop(middle, float(max(height, width)))]
    shorter, longer = min(height, width), max(height, width)
    if longer < 1.2 * shorter:
        return crops
    side = max(shorter, longer / (MOST_PARTS - 1))  # very long frames: larger squares, not more
    count = min(MOST_PARTS, int(np.ceil(longer / side * 1.5)))
    for offset in np.linspace(side / 2, longer - side / 2, count):
        centre = (offset, shorter / 2) if width >= height else (shorter / 2, offset)
        crops.append(HeadCrop(np.array(centre, np.float32), float(side)))
    return crops


def look(reader: HeadsetReader, image: ImageU8, crop: HeadCrop) -> list[Candidate]:
    """The heads that one crop of the frame shows."""
    matrix = crop.frame_from_share
    return [
        Candidate(
            (matrix[:, :2] @ head.centre + matrix[:, 2]).astype(np.float32),
            head.side * crop.side_px,
            head.face * (1.0 if head.side > WELL_SEEN else 0.5),
            head.headset,
        )
        for head in reader.read(crop.cut(image)).heads
    ]


def search(reader: HeadsetReader, image: ImageU8) -> list[Candidate]:
    """All heads of a frame, each once, most probable first."""
    found = [head for crop in search_crops(image.shape) for head in look(reader, image, crop)]
    return distinct(found)


def distinct(found: Sequence[Candidate]) -> list[Candidate]:
    """Each head once, most probable first; unlikely ones left out."""
    kept: list[Candidate] = []
    for head in sorted(found, key=lambda head: -head.face):
        if head.face >= LEAST_FACE and not any(is_same(head, other) for other in kept):
            kept.append(head)
    return kept


def is_same(one: Candidate, other: Candidate) -> bool:
    """Whether two finds are one head."""
    distance = float(np.linalg.norm(one.centre - other.centre))
    ratio = one.side_px / other.side_px
    return distance < SAME_HEAD * max(one.side_px, other.side_px) and 0.5 < ratio < 2.0
