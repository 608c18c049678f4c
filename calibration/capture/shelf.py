"""The frames of a capture that are kept: of every view some, of no view too many."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from edge.eyes.measures import mesh_apertures
from hmd_capture.head_pose import head_pose
from streaming.records import Float32Array, ImageU8

MOST_FRAMES = 150  # 400 MB at 1280×720
YAW_DEG, PITCH_DEG, APERTURE = 12.0, 10.0, 0.12  # as wide as a drawer


@dataclass(frozen=True)
class KeptFrame:
    """A usable frame."""

    index: int  # of all frames of the capture
    image: ImageU8  # (H,W,3) BGR
    mesh: Float32Array  # (478,3) px
    problem: str  # "" = good; else why it is no straight view


class Shelf:
    """Keeps frames, sorted by pose and openness of the eyes; the fullest drawer is thinned out."""

    def __init__(self, most_frames: int = MOST_FRAMES) -> None:
        """Keep at most so many."""
        self._most_frames = most_frames
        self._drawers: dict[tuple[int, int, bool], list[KeptFrame]] = defaultdict(list)

    def put(self, frame: KeptFrame) -> None:
        """Keep a frame; the picture is not copied."""
        pose = head_pose(frame.mesh)
        is_open = min(mesh_apertures(frame.mesh)) >= APERTURE
        drawer = round(pose.yaw_deg / YAW_DEG), round(pose.pitch_deg / PITCH_DEG), is_open
        self._drawers[drawer].append(frame)
        if sum(map(len, self._drawers.values())) > self._most_frames:
            fullest = max(self._drawers.values(), key=len)
            del fullest[1::2]

    def frames(self) -> list[KeptFrame]:
        """All that is kept, in the order of the capture."""
        kept = [frame for drawer in self._drawers.values() for frame in drawer]
        return sorted(kept, key=lambda frame: frame.index)


def stacked(frames: list[KeptFrame]) -> tuple[list[ImageU8], Float32Array]:
    """Images, and meshes (T,478,3) px."""
    return [frame.image for frame in frames], np.stack([frame.mesh for frame in frames])
