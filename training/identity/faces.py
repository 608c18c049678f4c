"""Faces to learn persons from: cut out once, with the teacher's embedding and a headset's outline.

Faces lie on the plane of `models.identity.face_chip` with a rim around, so that training can shift
and turn them. Persons whose name's digest says so are held back from training, of clips and
portraits alike: on them the network is chosen and the scores are calibrated.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmd_capture.headset_render import Headset
from hmd_capture.simulated import covered
from models.identity.face_chip import BARE, WIDTH_PX, chip_from_frame
from streaming.whole_file import PRIVATE, whole_file
from training.clips.faces import FaceClips
from training.identity.teacher import teacher_embeddings
from training.run.checkpoint import CheckpointError
from training.scenes.bare_faces import BareFace, is_held_back, named_portraits
from training.scenes.headset_variety import shaken

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

PLANE_PX = 210  # side of the plane that is kept
ORIGIN_PX = np.array([(PLANE_PX - WIDTH_PX) / 2, 20.0])  # of the chip's plane in it, (x, y)
SCENE_OF_PORTRAITS = "portraits"  # all taken in one studio


@dataclass(frozen=True)
class Source:
    """A bare face and whose it is."""

    face: BareFace
    person: str
    scene: str  # faces of one scene share light and camera


@dataclass
class PersonFaces:
    """Many faces as arrays of one length N; `persons` and `scenes` name them."""

    images: ImageU8  # (N,S,S,3) BGR on the plane with a rim around
    meshes: Float32Array  # (N,478,2) px of it
    covers: NDArray[np.uint8]  # (N,S,S) 1 = a simulated headset
    teacher: Float32Array  # (N,128) of the bare, unmasked face
    persons: NDArray[np.str_]
    scenes: NDArray[np.str_]

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.images)

    def chosen(self, which: NDArray[np.bool_]) -> PersonFaces:
        """Those where `which` (N,) is true."""
        return PersonFaces(**{name: array[which] for name, array in vars(self).items()})

    @classmethod
    def joined(cls, *parts: PersonFaces) -> PersonFaces:
        """All of several."""
        return cls(**{n: np.concatenate([vars(p)[n] for p in parts]) for n in vars(parts[0])})

    def save(self, path: Path) -> None:
        """Keep them for the next start, whole or not at all; for the owner only: they show people.

        Raises:
            CheckpointError: the disk is full, or may not be written to.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, PRIVATE) as file:
                np.savez(file, **vars(self))
        except OSError as error:
            raise CheckpointError(
                f"{path} could not be written ({error.strerror}); free disk space and start the "
                "same command again."
            ) from error

    @classmethod
    def load(cls, path: Path) -> PersonFaces:
        """Inverse of `save`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as packed:
                return cls(**{name: packed[name] for name in packed.files})
        except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{path} is damaged; delete it: the faces are cut out anew."
            ) from error


def clip_sources(clips: FaceClips, split: str, every: int, limit: int = 0) -> Iterator[Source]:
    """Every n-th frame of a split's clips (of the first `limit` clips, if not 0)."""
    for row in clips.rows(split)[: limit or None]:
        meshes = clips.meshes(row)
        for index, image in enumerate(clips.stream(row)):
            if index % every == 0 and index < len(meshes):
                yield Source(BareFace(image, meshes[index]), row.identity, row.segment)


def portrait_sources(folder: Path) -> Iterator[Source]:
    """Every portrait photo of a folder that can be read, those of held-back persons too.

    Raises:
        FaceDataError: the folder is of another layout.
    """
    for is_apart in (True, False):
        for person, face in named_portraits(folder, held_back=is_apart):
            yield Source(face, person, SCENE_OF_PORTRAITS)


def cut_faces(
    sources: Iterator[Source],
    headsets: Sequence[Headset],
    teacher: dict[str, Tensor],
    seed: int,
) -> PersonFaces:
    """Cut every source out, cover it and let the teacher look at it."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[NDArray[np.generic] | str]] = {
        name: [] for name in ("images", "meshes", "covers", "teacher", "persons", "scenes")
    }
    for source in sources:
        image, mesh = source.face.image, source.face.mesh
        matrix = chip_from_frame(mesh)
        matrix[:, 2] += ORIGIN_PX
        size = (PLANE_PX, PLANE_PX)
        plane = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        headset = headsets[int(random.integers(len(headsets)))]
        _, hidden = covered(image, headset.draw(shaken(mesh, random), image))
        cover = cv2.warpAffine(hidden, matrix, size, flags=cv2.INTER_NEAREST)
        columns["images"].append(np.asarray(plane, np.uint8))
        columns["meshes"].append((mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32))
        columns["covers"].append(np.asarray(cover, np.uint8))
        columns["teacher"].append(_taught(teacher, np.asarray(plane, np.uint8)))
        columns["persons"].append(source.person)
        columns["scenes"].append(source.scene)
    return PersonFaces(**{name: np.array(values) for name, values in columns.items()})


def held_back(faces: PersonFaces) -> NDArray[np.bool_]:
    """(N,) whether each face's person is kept from training."""
    return np.array([is_held_back(person) for person in faces.persons])


def _taught(teacher: dict[str, Tensor], plane: ImageU8) -> Float32Array:
    left, top = ORIGIN_PX.astype(int)
    chip = plane[top : top + BARE.rows, left : left + WIDTH_PX, ::-1]
    planes = torch.from_numpy(np.ascontiguousarray(chip)).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        return np.asarray(teacher_embeddings(teacher, planes)[0].numpy(), np.float32)
