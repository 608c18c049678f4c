"""Training samples of CoverNet: a bare face, often with something over it, and what is covered."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.covers.contract import REGIONS, SIZE_PX
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from training.face_covers.covers import COVERS
from training.face_covers.shadows import brim_shadow
from training.scenes.bare_faces import BareFace
from training.scenes.camera_faults import camera_faults
from training.scenes.face_props import hair_over, put_glasses_on

Float32Array = NDArray[np.float32]

WORK_PX = 96  # covers are drawn at this size
BARE_SHARE = 0.4  # of the samples
BODY_SHARE = 0.5  # of those: with a few thin strands, or clear glasses: not covered
SHADOW_SHARE = 0.2  # of all samples, covered or not: a shadow covers nothing
COVERED_FROM, BARE_UP_TO = 0.4, 0.12  # of a region's area; between them it may be called either
JITTER = 0.05  # of the crop's side: meshes of covered faces are less exact


@dataclass(frozen=True)
class CoverSample:
    """One picture and its labels."""

    crop: Float32Array  # (3,S,S) RGB 0..1
    covered: Float32Array  # (R,) 1 = covered
    weight: Float32Array  # (R,) 0 = may be called either


def prepared(face: BareFace) -> BareFace:
    """The face framed as CoverNet sees it, with room for jitter, at `WORK_PX`."""
    frame_from_crop = crop_from_mesh(face.mesh, WORK_PX)
    return BareFace(
        cut_crop(face.image, frame_from_crop, WORK_PX), mesh_to_crop(face.mesh, frame_from_crop)
    )


def sample(face: BareFace, random: np.random.Generator) -> CoverSample:
    """Draw one sample from a `prepared` face."""
    image = face.image
    hidden = np.zeros(image.shape[:2], np.uint8)
    if random.random() < SHADOW_SHARE:
        image = brim_shadow(image, face.mesh, random)
    if random.random() < BARE_SHARE:
        if random.random() < BODY_SHARE:
            image = hair_over(image, face.mesh, random) if random.random() < 0.4 else image
            image = _clear_glasses(image, face, random)
    else:
        if random.random() < 0.25:
            image = _clear_glasses(image, face, random)
        for _ in range(1 + (random.random() < 0.2)):
            cover = COVERS[int(random.integers(len(COVERS)))]
            image, more = cover(BareFace(image, face.mesh), random)
            hidden = np.maximum(hidden, more)
    shares = covered_shares(hidden, face.mesh)
    crop = _jittered(image, random)
    if random.random() < 0.5:
        crop = crop[:, ::-1]
        shares = _mirrored(shares)
    crop = camera_faults(np.ascontiguousarray(crop), random)
    planes = cv2.dnn.blobFromImage(crop, 1 / 255, swapRB=True)[0]
    is_clear = (shares >= COVERED_FROM) | (shares <= BARE_UP_TO)
    return CoverSample(
        np.asarray(planes, np.float32),
        (shares >= COVERED_FROM).astype(np.float32),
        is_clear.astype(np.float32),
    )


def covered_shares(hidden: NDArray[np.uint8], mesh: Float32Array) -> Float32Array:
    """(R,) share of each region's area where `hidden` (S,S) is above half of 255."""
    shares = []
    for points in REGIONS.values():
        region = np.zeros_like(hidden)
        hull = cv2.convexHull(np.round(mesh[list(points), :2]).astype(np.int32))
        cv2.fillConvexPoly(region, hull, (1.0,))
        inside = region > 0
        shares.append(float((hidden[inside] > 127).mean()) if inside.any() else 0.0)
    return np.array(shares, np.float32)


def _clear_glasses(
    image: NDArray[np.uint8], face: BareFace, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Glasses through which the eyes are seen: a rim and hardly a tint."""
    worn = put_glasses_on(image, face.mesh, random)
    lens = np.abs(worn.astype(np.int16) - image).sum(axis=2) > 60
    eyes = np.zeros(image.shape[:2], np.uint8)
    for name in ("right eye", "left eye"):
        hull = cv2.convexHull(np.round(face.mesh[list(REGIONS[name]), :2]).astype(np.int32))
        cv2.fillConvexPoly(eyes, hull, (1.0,))
    return image if lens[eyes > 0].mean() > BARE_UP_TO else worn  # those were dark ones


def _jittered(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    scale = SIZE_PX / WORK_PX * np.exp(random.normal(0, JITTER))
    shift = random.normal(0, JITTER / 2, 2) * SIZE_PX
    middle = (WORK_PX / 2, WORK_PX / 2)
    turn = np.asarray(cv2.getRotationMatrix2D(middle, random.normal(0, 6), scale), np.float64)
    turn[:, 2] += (SIZE_PX - WORK_PX) / 2 + shift
    moved = cv2.warpAffine(
        image, turn, (SIZE_PX, SIZE_PX), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def _mirrored(shares: Float32Array) -> Float32Array:
    """Left and right change places."""
    names = list(REGIONS)
    swap = {"right": "left", "left": "right"}
    others = [" ".join(swap.get(word, word) for word in name.split()) for name in names]
    return shares[[names.index(name) for name in others]]
