"""What the network sees of a cut-out face in training: shifted, relit, blurred, covered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.identity.face_chip import LOWER, WIDTH_PX, FaceChip, Window, cut_chip, network_input
from training.identity.faces import ORIGIN_PX, PLANE_PX, PersonFaces
from training.masks.coverings import headset_mask, random_shape
from training.scenes.camera_faults import camera_faults

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class ViewSettings:
    """How far views differ from the cut-out face; standard deviations."""

    shift_px: float = 2.0  # landmarks under a headset are off by 3 % of the eye span of 75 px
    scale: float = 0.035
    turn_deg: float = 2.5
    outline_px: float = 1.5
    cover_px: float = 3.0


VIEWS = ViewSettings()


def view(
    faces: PersonFaces,
    index: int,
    window: Window,
    random: np.random.Generator,
    settings: ViewSettings = VIEWS,
) -> FaceChip:
    """One window of a face as some camera may show it; LOWER wears a headset."""
    image = _recoloured(camera_faults(faces.images[index], random), random)
    mesh = faces.meshes[index]
    hidden = _cover(faces, index, random, settings) if window is LOWER else None
    if settings.shift_px and random.random() < 0.5:  # mirrored, a person stays the same one
        image = np.ascontiguousarray(image[:, ::-1])
        mesh = np.stack([PLANE_PX - 1 - mesh[:, 0], mesh[:, 1]], axis=1)
        hidden = None if hidden is None else np.ascontiguousarray(hidden[:, ::-1])
    middle = mesh.mean(axis=0)
    grown = middle + (mesh - middle) * np.exp(random.normal(0, settings.scale))
    outline = grown + random.normal(0, 1, 2) * settings.outline_px
    matrix = _shaken(random, settings)
    return cut_chip(image, outline.astype(np.float32), window, hidden, matrix)


def batch_of(
    faces: PersonFaces, indices: NDArray[np.int64], window: Window, random: np.random.Generator
) -> Tensor:
    """(B,4,R,150) views of the faces at `indices`."""
    chips = [network_input(view(faces, int(i), window, random)) for i in indices]
    return torch.from_numpy(np.concatenate(chips))


def _shaken(random: np.random.Generator, settings: ViewSettings) -> NDArray[np.float64]:
    """(2,3) plane with rim -> chip's plane, not quite as the landmarks say."""
    turn = np.radians(random.normal(0, 1) * settings.turn_deg)
    size = float(np.exp(random.normal(0, 1) * settings.scale))
    cos, sin = size * np.cos(turn), size * np.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([WIDTH_PX / 2, 85.0])
    shift = centre + random.normal(0, 1, 2) * settings.shift_px
    return np.column_stack([linear, shift - linear @ (centre + ORIGIN_PX)])


def _cover(
    faces: PersonFaces, index: int, random: np.random.Generator, settings: ViewSettings
) -> NDArray[np.uint8]:
    """The outline of a headset: one that was drawn for this face, or a box."""
    if random.random() < 0.6:
        hidden = faces.covers[index]
    else:
        hidden = headset_mask(faces.meshes[index], PLANE_PX, random_shape(random, 0.8))
    across, down = random.normal(0, 1, 2) * settings.cover_px
    moved = np.array([[1, 0, across], [0, 1, down]])
    return np.asarray(
        cv2.warpAffine(hidden, moved, hidden.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8
    )


def _recoloured(image: ImageU8, random: np.random.Generator) -> ImageU8:
    """Colour tells cameras and lamps apart rather than people: often there is less of it."""
    share = float(random.choice([0.0, random.uniform(0.2, 1.0), 1.0], p=[0.2, 0.4, 0.4]))
    if share == 1.0:
        return image
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(image, share, grey, 1 - share, 0), np.uint8)
