"""The part `plate` of a profile: the capture's room, and which pixels of each view show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.profile.parts import Part
from models.filling import Reference
from streaming.records import ImageU8

VERSION = 1
MOST_PX = 2048  # a side; ours are at most 640 px wide, of cameras held upright higher


@dataclass(frozen=True, eq=False)
class HeadPlate:
    """What the camera saw beside the head before the headset went on."""

    room: ImageU8  # (H,W,3) BGR, the camera's frame without the person
    known: NDArray[np.uint8]  # (H,W) 255 = seen, 0 = the person always hid it
    mattes: tuple[ImageU8, ...]  # (S,S) per view of the profile: 255 = the person

    def matted(self, views: Sequence[Reference]) -> tuple[Reference, ...]:
        """The profile's views with their mattes; as they are where these do not fit."""
        shapes = [view.image.shape[:2] for view in views]
        if [matte.shape for matte in self.mattes] != shapes:
            return tuple(views)
        pairs = zip(views, self.mattes, strict=True)
        return tuple(replace(view, matte=matte) for view, matte in pairs)

    def to_part(self) -> Part:
        """The part `plate` of a profile."""
        pictures = {f"matte_{index}": matte for index, matte in enumerate(self.mattes)}
        pictures |= {"room": self.room, "known": self.known}
        return Part({"mattes": len(self.mattes)}, pictures=pictures, version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> HeadPlate:
        """Inverse of `to_part`; raises UnknownVersion, KeyError, TypeError or ValueError."""
        part.require_version(VERSION)
        room, known = part.pictures["room"], part.pictures["known"]
        count = int(part.document["mattes"])
        mattes = tuple(part.pictures[f"matte_{index}"] for index in range(count))
        if room.ndim != 3 or room.shape[2] != 3 or known.shape != room.shape[:2]:
            raise ValueError(f"a room of {room.shape} with a mask of {known.shape}")
        if max(room.shape[:2]) > MOST_PX:
            raise ValueError(f"a room of {room.shape}, over {MOST_PX} px")
        if any(matte.ndim != 2 for matte in mattes):
            raise ValueError("a matte that is not grey")
        return cls(room, known, mattes)
