"""Making a session profile from video frames of the bare face: which frame becomes the reference.

Video starts blurred (the first frames after a key frame at low rate), eyes blink and heads turn;
the reference should be sharp, frontal and with open eyes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.eyes.learning import BLINK_SHARE, CLOSED_QUANTILE, CLOSED_SHARE, OPEN_QUANTILE
from edge.eyes.measures import (
    aperture,
    iris_offset,
    mesh_apertures,
    mesh_iris,
    mesh_lids,
)
from edge.eyes.reading import openness_of
from edge.eyes.simulated_calibration import calibrate_simulated_eyes
from edge.identity.print_making import print_of_capture
from edge.light.part import light_of_views
from edge.plate.making import plate_of_capture
from edge.profile import STORED_PX, EyeCalibration, SessionProfile
from edge.reference_bank import choose_bank, view_of
from models.face.alignment import crop_from_mesh, cut_crop, mesh_to_crop
from models.face.mesh import CHIN, EYES, FOREHEAD_TOP, LEFT_SIDE, RIGHT_SIDE
from streaming.errors import UserError
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

FRONTAL_RAD = 0.17  # 10°: a head turned by that much counts 60 %
OPEN_ENOUGH = 0.75  # openness from which an eye is simply open


def profile_from_frames(
    frames: Sequence[ImageU8],
    meshes: Float32Array,
    stored_px: int | None = None,
    *,
    with_plate: bool = True,
) -> SessionProfile:
    """Choose the best frame and other views as references, and calibrate the eyes.

    Args:
        frames: (H,W,3) uint8 BGR images of the bare face.
        meshes: (T,478,3) px of the frames; NaN rows where no face was found.
        stored_px: side of the stored crops; None = as the camera resolved the face, see
            `edge.reference_bank.view_of`.
        with_plate: whether to keep the room behind the face, too.

    Raises:
        UserError: no face in any frame.
    """
    usable = np.flatnonzero(np.isfinite(meshes).all(axis=(1, 2)))
    if usable.size == 0:
        raise UserError(
            f"No face was found in {len(frames)} frames.",
            "Face the camera in even light, without the headset, and try again.",
        )
    faces = [frames[i] for i in usable]
    kept = meshes[usable]
    choice = _choose(faces, kept)
    best = choice.views[0]
    index = int(usable[best])
    log.info(
        "reference: frame %d of %d, sharpness %.0f; %d views",
        *(index, len(frames), choice.sharpness[best], len(choice.views)),
    )
    frame_from_crop = crop_from_mesh(meshes[index], STORED_PX)
    quality = {
        "frame_index": float(index),
        "sharpness": float(choice.sharpness[best]),
        "score": float(choice.scores[best]),
        "face_px": float(frame_from_crop[0, 0] * STORED_PX),
        "frames_with_face": usable.size / len(frames),
    }
    # Until real eye cameras are calibrated on their own, the simulated ones stand in for them.
    eyes = calibrate_simulated_eyes(faces, kept)
    references = tuple(view_of(faces[i], kept[i], stored_px) for i in choice.views)
    good = np.flatnonzero(choice.scores >= np.median(choice.scores))
    own = print_of_capture([faces[i] for i in good], [kept[i] for i in good])
    plate = plate_of_capture(frames, references) if with_plate else None
    light = light_of_views(references)
    return SessionProfile(references, eyes, quality, identity=own, plate=plate, light=light)


def best_views(frames: Sequence[ImageU8], meshes: Float32Array) -> list[int]:
    """The frames that `profile_from_frames` keeps, best frontal first; each shows a face."""
    return _choose(frames, meshes).views


def head_angles(mesh: Float32Array) -> tuple[float, float]:
    """(yaw, pitch) in rad from the mesh's depth; 0 yaw faces the camera, pitch is relative."""
    across = mesh[LEFT_SIDE] - mesh[RIGHT_SIDE]
    down = mesh[CHIN] - mesh[FOREHEAD_TOP]
    yaw = np.arctan2(across[2], np.hypot(across[0], across[1]))
    pitch = np.arctan2(down[2], np.hypot(down[0], down[1]))
    return float(yaw), float(pitch)


def eye_sharpness(frame: ImageU8, mesh: Float32Array) -> float:
    """Variance of the Laplacian around the eyes at crop scale: blur of any kind lowers it."""
    frame_from_crop = crop_from_mesh(mesh, STORED_PX)
    crop = cut_crop(frame, frame_from_crop, STORED_PX)
    eyes = mesh_to_crop(mesh, frame_from_crop)[[p for eye in EYES for p in eye.upper_lid], :2]
    (left, top), (right, bottom) = eyes.min(axis=0) - 12, eyes.max(axis=0) + 16
    part = crop[max(0, int(top)) : int(bottom), max(0, int(left)) : int(right)]
    if part.size == 0:
        return 0.0
    return float(cv2.Laplacian(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.CV_32F).var())


@dataclass(frozen=True)
class _Choice:
    """Which frames are kept, and how good each one is as the frontal view."""

    views: list[int]
    scores: NDArray[np.float64]
    sharpness: NDArray[np.float64]


def _choose(frames: Sequence[ImageU8], meshes: Float32Array) -> _Choice:
    in_mesh = _mesh_calibration(meshes)
    scores, sharpness = _scores(frames, meshes, in_mesh)
    openness = np.array([_mean_openness(mesh, in_mesh) for mesh in meshes])
    views = choose_bank(frames, meshes, int(scores.argmax()), openness)
    return _Choice(views, scores, sharpness)


def _scores(
    frames: Sequence[ImageU8], meshes: Float32Array, eyes: tuple[EyeCalibration, EyeCalibration]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sharpness = np.array([eye_sharpness(f, m) for f, m in zip(frames, meshes, strict=True)])
    sharp = np.clip(sharpness / max(float(np.quantile(sharpness, 0.95)), 1e-6), 0, 1)
    angles = np.array([head_angles(mesh) for mesh in meshes])
    # A frontal mesh has no fixed pitch (foreheads differ), so the usual one counts as level.
    off_level = angles[:, 1] - np.median(angles[:, 1])
    frontal = np.exp(-(angles[:, 0] ** 2 + off_level**2) / (2 * FRONTAL_RAD**2))
    opened = np.array([_least_openness(mesh, eyes) for mesh in meshes])
    return sharp * frontal * np.clip(opened / OPEN_ENOUGH, 0, 1), sharpness


def _least_openness(mesh: Float32Array, eyes: tuple[EyeCalibration, EyeCalibration]) -> float:
    return min(_opennesses(mesh, eyes))


def _mean_openness(mesh: Float32Array, eyes: tuple[EyeCalibration, EyeCalibration]) -> float:
    return sum(_opennesses(mesh, eyes)) / 2


def _opennesses(
    mesh: Float32Array, eyes: tuple[EyeCalibration, EyeCalibration]
) -> tuple[float, float]:
    values = zip(mesh_apertures(mesh), eyes, strict=True)
    right, left = (openness_of(value, eye) for value, eye in values)
    return right, left


def _mesh_calibration(meshes: Float32Array) -> tuple[EyeCalibration, EyeCalibration]:
    """In the measures of the mesh itself; for judging frames."""
    eyes = []
    for eye in EYES:
        lids = [mesh_lids(mesh, eye) for mesh in meshes]
        offsets = [
            iris_offset(pair, mesh_iris(mesh, eye)) for pair, mesh in zip(lids, meshes, strict=True)
        ]
        eyes.append(_calibration(np.array([aperture(pair) for pair in lids]), np.array(offsets)))
    return eyes[0], eyes[1]


def _calibration(gaps: NDArray[np.float64], offsets: NDArray[np.float32]) -> EyeCalibration:
    closed, opened = (float(np.quantile(gaps, q)) for q in (CLOSED_QUANTILE, OPEN_QUANTILE))
    if closed > BLINK_SHARE * opened:
        closed = CLOSED_SHARE * opened
    rest_x, rest_y = (float(v) for v in np.median(offsets[gaps >= closed], axis=0))
    return EyeCalibration(closed, opened, (rest_x, rest_y))
