"""Bare faces to put headsets on: frames of clips and portrait photos, with their meshes."""

from __future__ import annotations

import csv
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import POINT_COUNT
from training.clips.faces import FaceClip, FaceClips, FaceDataError

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

HELD_BACK_SHARE = 0.25  # of the portraits' people: never trained on


@dataclass(frozen=True)
class BareFace:
    """One picture of an uncovered face."""

    image: ImageU8  # (S,S,3) BGR
    mesh: Float32Array  # (478,3) px


def clip_faces(clips: FaceClips, split: str, every: int, limit: int = 0) -> Iterator[BareFace]:
    """Every n-th frame of a split's clips (of the first `limit` clips, if not 0).

    Raises:
        FaceDataError: the split is empty or a clip cannot be read.
    """
    return itertools.chain.from_iterable(faces_by_clip(clips, split, every, limit))


def faces_by_clip(
    clips: FaceClips, split: str, every: int, limit: int = 0
) -> Iterator[Iterator[BareFace]]:
    """`clip_faces`, clip by clip: each shows one person."""
    for row in clips.rows(split)[: limit or None]:
        yield _faces_of(clips, row, every)


def _faces_of(clips: FaceClips, row: FaceClip, every: int) -> Iterator[BareFace]:
    meshes = clips.meshes(row)
    for index, image in enumerate(clips.stream(row)):
        if index % every == 0 and index < len(meshes):
            yield BareFace(image, meshes[index])


def faces_to_learn(
    data: Path, stills: Path | None, every: int, limit: int = 0
) -> tuple[Iterator[BareFace], Iterator[BareFace]]:
    """Faces to train on, of clips in `data` and portraits in `stills`; and those of val clips.

    Raises:
        FaceDataError: a folder cannot be used; on the way, too.
    """
    clips = FaceClips(data)
    photos = portraits(stills, held_back=False) if stills else ()
    train = itertools.chain(clip_faces(clips, "train", every, limit), photos)
    return train, clip_faces(clips, "val", every, limit)


def portraits(folder: Path, *, held_back: bool) -> Iterator[BareFace]:
    """Portrait photos of people to train on, or of those held back for testing.

    Raises:
        FaceDataError: the folder is of another layout.
    """
    return (face for _, face in named_portraits(folder, held_back=held_back))


def portraits_by_person(folder: Path, *, held_back: bool) -> dict[str, list[BareFace]]:
    """`portraits`, person by person; of some there are several.

    Raises:
        FaceDataError: the folder is of another layout.
    """
    found: dict[str, list[BareFace]] = {}
    for person, face in named_portraits(folder, held_back=held_back):
        found.setdefault(person, []).append(face)
    return found


def named_portraits(folder: Path, *, held_back: bool) -> Iterator[tuple[str, BareFace]]:
    """`portraits`, each with whom it shows.

    `folder` has `manifest.csv` (columns name, identity, file) and `landmarks.npz` (names, and lm
    in shares of the picture's side).

    Raises:
        FaceDataError: the folder is of another layout.
    """
    try:
        with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        with np.load(folder / "landmarks.npz") as packed:
            meshes = dict(zip(packed["names"].tolist(), packed["lm"], strict=True))
    except (OSError, KeyError, ValueError) as error:
        raise FaceDataError(
            f"{folder} holds no portraits with landmarks ({error}); docs/DATA.md tells the layout"
        ) from error
    for row in rows:
        if is_held_back(row["identity"]) == held_back and row["name"] in meshes:
            image = cv2.imread(str(folder / row["file"]))
            if image is not None:
                mesh = meshes[row["name"]].astype(np.float32) * np.float32(image.shape[1])
                yield row["identity"], BareFace(np.asarray(image, np.uint8), mesh)


def is_held_back(identity: str) -> bool:
    """Whether a portrait's person is kept for testing: the same answer everywhere."""
    digest = hashlib.sha256(identity.encode()).digest()
    return digest[0] < 256 * HELD_BACK_SHARE


@lru_cache(maxsize=1)
def mirrored_points() -> NDArray[np.int64]:
    """(478,) the index of every mesh point's mirror image.

    The shape is symmetric, its numbering is not; the pairs are the best assignment between the
    median shape of the portraits and its own mirror image.
    """
    pairs = np.load(Path(__file__).parent / "mirrored_points.npy")
    if pairs.shape != (POINT_COUNT,):
        raise FaceDataError(
            "training/scenes/mirrored_points.npy is damaged; restore it from the release"
        )
    return np.asarray(pairs, np.int64)
