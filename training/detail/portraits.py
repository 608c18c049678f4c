"""Pairs of portraits: one photo of a person hidden and restored from another one.

Photos resolve a face better than clips do, and two of them differ in pose, expression and light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.filling import Reference
from streaming.errors import UserError
from training.detail.scores import Shot
from training.evaluation.evaluate import FillerMaker
from training.scenes.bare_faces import BareFace, portraits_by_person

SPLITS = ("test", "train")  # the people held back, and the others


@dataclass(frozen=True)
class Sitter:
    """One person and every photo of them, at least two."""

    identity: str
    photos: tuple[Reference, ...]  # as they were stored

    def pairs(self, frame_px: int) -> list[tuple[Reference, Reference]]:
        """(hidden, known) photos of (frame_px,frame_px): each photo, and the one after it."""
        photos = [photo.resized(frame_px) for photo in self.photos]
        return list(zip(photos, photos[1:] + photos[:1], strict=True))


def sitters(folder: Path, split: str) -> list[Sitter]:
    """Everyone in a folder of portraits (docs/DATA.md) of whom there are two and more.

    Raises:
        UserError: an unknown split, a folder of another layout, or nobody with two photos.
    """
    if split not in SPLITS:
        raise UserError(f"Portraits have no split '{split}'.", f"Use {' or '.join(SPLITS)}.")
    people = portraits_by_person(folder, held_back=split == "test")
    photos = {who: tuple(_square(face) for face in kept) for who, kept in people.items()}
    found = [Sitter(who, kept) for who, kept in photos.items() if len(kept) > 1]
    if not found:
        raise UserError(
            f"{folder} has nobody with two portraits in split '{split}'.",
            "Add photos of the same people, or use the protocol bank.",
        )
    return found


def _square(face: BareFace) -> Reference:
    height, width = face.image.shape[:2]
    if height != width:
        raise UserError(f"A portrait is {width}x{height}.", "Cut the portraits square.")
    return Reference(face.image, face.mesh)


def sitter_shots(sitter: Sitter, maker: FillerMaker, frame_px: int, size_px: int) -> Iterator[Shot]:
    """The person's photos, each with a filler of `size_px` that knows the photo after it."""
    for hidden, known in sitter.pairs(frame_px):
        yield Shot(hidden.image, hidden.mesh, maker(known, size_px))
