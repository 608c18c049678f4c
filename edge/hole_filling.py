"""One tracked face from the hole that its cover leaves to the frame without it.

In two halves, for two threads: `HoleFilling.begin` cuts the crop and prepares it, `BegunFill.end`
runs the network and puts the crop back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.composite import Hole, composite, open_hole
from edge.plate.backdrop import Backdrop
from edge.records import FaceTrack
from edge.timing import StageTimes
from models.detail import Detail
from models.engine.interface import restarts_of
from models.face.alignment import cut_crop, mesh_to_crop
from models.filling import DetailedFiller, Filler, StagedFiller
from streaming.records import Float32Array, ImageU8


@dataclass(frozen=True)
class BegunFill:
    """A face whose fill has begun."""

    filler: str  # its name
    landmarks: Float32Array  # (478,3) px of the frame
    hole: Hole
    detail: Detail | None
    filled: Callable[[], ImageU8]  # the rest of the fill, gives the crop (S,S,3)
    times: StageTimes

    def end(self, frame: ImageU8) -> tuple[ImageU8, ImageU8]:
        """The frame (H,W,3) without the cover, and the filled crop (S,S,3)."""
        with self.times.measure("fill"):
            filled = self.filled()
        with self.times.measure("composite"):
            return composite(frame, filled, self.hole, self.detail), filled


class HoleFilling:
    """Fills the holes of a session's frames; its states are the filler's and the room's."""

    def __init__(self, filler: Filler, backdrop: Backdrop, size_px: int, times: StageTimes) -> None:
        """Fill crops of `size_px` by `filler`, before the room that `backdrop` knows."""
        self._filler, self._backdrop = filler, backdrop
        self._size_px, self._times = size_px, times

    @property
    def restarts(self) -> int:
        """How often the filler had to forget earlier frames by itself: its engine failed."""
        return restarts_of(self._filler)

    def reset(self) -> None:
        """Forget earlier frames."""
        self._filler.reset()
        self._backdrop.reset()

    def begin(self, frame: ImageU8, track: FaceTrack) -> BegunFill:
        """The first half for a covered face in a frame (H,W,3)."""
        filler, backdrop = self._filler, self._backdrop
        hole = open_hole(track.mask, track.frame_from_crop, self._size_px)
        crop = cut_crop(frame, track.frame_from_crop, self._size_px)
        mesh = mesh_to_crop(track.mesh, track.frame_from_crop)
        backdrop.stand_behind(filler, crop, hole)
        filled = _begun(filler, crop, hole.crop_hidden, mesh)
        detail = filler.detail if isinstance(filler, DetailedFiller) else None
        backdrop.learn(filler, frame, hole, mesh)
        return BegunFill(filler.name, track.mesh, hole, detail, filled, self._times)


def _begun(
    filler: Filler, crop: ImageU8, hidden: NDArray[np.uint8], mesh: Float32Array
) -> Callable[[], ImageU8]:
    """The second half of a fill; a filler without halves does all of it now."""
    if isinstance(filler, StagedFiller):
        return filler.begin(crop, hidden, mesh)
    whole = filler.fill(crop, hidden, mesh)
    return lambda: whole
