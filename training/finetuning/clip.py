"""The wearer's clip: what is learned from, and its end, which is held back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.reference_choice import best_views
from models.reference import Reference
from streaming.errors import UserError

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

HELD_BACK_SHARE = 0.3
LEAST_FRAMES = 120  # of bare face in all: 5 s at 25 fps
MOST_SCORED = 96  # held-back frames


@dataclass(frozen=True)
class WearerClip:
    """Frames of a bare face in the order in which they were seen."""

    images: ImageU8  # (T,S,S,3) BGR, framed as the filler's crops
    meshes: Float32Array  # (T,478,3) px of them
    starts: NDArray[np.bool_]  # (T,) a frame before this one is missing

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self.images)

    def part(self, begin: int, end: int) -> WearerClip:
        """Frames `begin` to `end`."""
        starts = self.starts[begin:end].copy()
        starts[:1] = True
        return WearerClip(self.images[begin:end], self.meshes[begin:end], starts)

    def reference(self, index: int) -> Reference:
        """One frame as a view."""
        return Reference(self.images[index], self.meshes[index])


def divided(clip: WearerClip) -> tuple[WearerClip, WearerClip]:
    """What is learned from, and the last `HELD_BACK_SHARE`, which only decides.

    Raises:
        UserError: the clip is too short to tell a gain from luck.
    """
    if len(clip) < LEAST_FRAMES:
        raise UserError(
            f"The clip has only {len(clip)} usable frames; fine-tuning needs {LEAST_FRAMES}.",
            "Take a longer one: look around and talk for ten seconds or more.",
        )
    cut = round(len(clip) * (1 - HELD_BACK_SHARE))
    return clip.part(0, cut), clip.part(cut, min(len(clip), cut + MOST_SCORED))


def views_of(clip: WearerClip) -> list[int]:
    """The frames that a profile made of this clip would keep, best frontal first."""
    return best_views(list(clip.images), clip.meshes)
