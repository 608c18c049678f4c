"""How far a filled face is from its owner's, beside how far other pictures and people are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.clips.faces import FaceClip, FaceClips, Float32Array, ImageU8
from training.evaluation.faces_seen import identity_distances

FRAME_STEP = 4  # every fourth frame is looked at
MOST_OTHERS = 12  # people compared with


class IdentityReader(Protocol):
    """Reads who somebody is: `training.evaluation.faces_seen.FaceReader`."""

    def identities(self, images: ImageU8, meshes: Float32Array) -> NDArray[np.float64]:
        """(N,D) of BGR images (N,S,S,3) with meshes (N,478,3)."""
        ...


@dataclass(frozen=True)
class Compared:
    """Pictures of known people: (N,S,S,3) uint8 BGR and (N,478,3) px."""

    images: ImageU8
    meshes: Float32Array


class IdentityMeasure:
    """Mean distances of descriptors to those of the bare face; one person's are below 0.6."""

    def __init__(self, reader: IdentityReader, truth: ImageU8, meshes: Float32Array) -> None:
        """Read the bare frames (T,S,S,3) with their true `meshes` (T,478,3) px."""
        self._reader = reader
        self._truth = self._read(truth, meshes)

    def filled(self, images: ImageU8, meshes: Float32Array) -> float:
        """Distance of filled frames from the same bare frames."""
        return float(identity_distances(self._read(images, meshes), self._truth).mean())

    def pictures(self, others: Compared) -> float:
        """Mean distance of every bare frame from every one of other pictures."""
        seen = self._reader.identities(others.images, others.meshes)
        apart: NDArray[np.float64] = np.linalg.norm(self._truth[:, None] - seen[None], axis=2)
        return float(apart.mean())

    def _read(self, images: ImageU8, meshes: Float32Array) -> NDArray[np.float64]:
        return self._reader.identities(images[::FRAME_STEP], meshes[::FRAME_STEP])


def of_the_same_person(
    clips: FaceClips, row: FaceClip, after_frame: int, size_px: int
) -> Compared | None:
    """Other pictures of a clip's person: of other clips, else later ones of the clip; else None."""
    others = [r for r in clips.all_rows if r.identity == row.identity and r.segment != row.segment]
    if others:
        return _sampled(clips, others, size_px)
    images, meshes = clips.frames(row, size_px), clips.meshes(row, size_px)
    later = slice(after_frame, None, FRAME_STEP)
    return Compared(images[later], meshes[later]) if len(images) > after_frame else None


def of_other_people(clips: FaceClips, row: FaceClip, size_px: int) -> Compared | None:
    """One picture of each of several other people of the clip's split."""
    people = {r.identity: r for r in clips.rows(row.split) if r.identity != row.identity}
    chosen = list(people.values())[:MOST_OTHERS]
    return _sampled(clips, chosen, size_px) if chosen else None


def _sampled(clips: FaceClips, rows: list[FaceClip], size_px: int) -> Compared:
    """The first picture of each clip."""
    images = [next(iter(clips.stream(row, size_px))) for row in rows]
    meshes = [clips.meshes(row, size_px)[0] for row in rows]
    return Compared(np.stack(images), np.stack(meshes))
