"""Stretches of a video in which one face is followed without a break."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from models.face.alignment import BoxSmoother, HeadBox, head_box
from models.face.mediapipe_mesh import FaceMesher
from training.clips.faces import Float32Array, ImageU8

LARGEST_JUMP = 0.35  # of the box's side, from frame to frame: more is a cut or another face
SMALLEST_SIDE_PX = 96.0  # of the head's box; less is too coarse for crops of 128 px


@dataclass(frozen=True)
class Segment:
    """Frames `first`..`first` + N - 1 of a video."""

    first: int
    meshes: Float32Array  # (N,478,3) px of the frame
    boxes: tuple[HeadBox, ...]  # following the head slowly

    @property
    def frames(self) -> int:
        """How many."""
        return len(self.meshes)


def find_segments(
    frames: Iterable[ImageU8], frame_ns: int, fewest: int, most: int
) -> list[Segment]:
    """Follow the largest face of a video; segments of `fewest` to `most` frames each.

    A longer stretch becomes several segments, so that clips stay small enough to be held in memory.
    """
    runs: list[list[tuple[int, Float32Array]]] = [[]]
    with FaceMesher() as mesher:
        for index, frame in enumerate(frames):
            found = mesher.meshes(frame)
            mesh = found[0] if found else None
            if (
                mesh is None
                or not _usable(mesh)
                or _jumped(runs[-1], mesh)
                or len(runs[-1]) == most
            ):
                runs.append([])
            if mesh is not None and _usable(mesh):
                runs[-1].append((index, mesh))
    return [_segment(run, frame_ns) for run in runs if len(run) >= fewest]


def _usable(mesh: Float32Array) -> bool:
    return bool(np.isfinite(mesh).all()) and head_box(mesh).side_px >= SMALLEST_SIDE_PX


def _jumped(run: list[tuple[int, Float32Array]], mesh: Float32Array) -> bool:
    if not run:
        return False
    before, now = head_box(run[-1][1]), head_box(mesh)
    moved = float(np.linalg.norm(now.centre - before.centre))
    return max(moved, abs(now.side_px - before.side_px)) > LARGEST_JUMP * before.side_px


def _segment(run: list[tuple[int, Float32Array]], frame_ns: int) -> Segment:
    smoother = BoxSmoother()
    boxes = [smoother.follow(head_box(mesh), index * frame_ns) for index, mesh in run]
    return Segment(run[0][0], np.stack([mesh for _, mesh in run]), tuple(boxes))
