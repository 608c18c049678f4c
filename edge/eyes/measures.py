"""Measuring eyes by their lids: the same numbers from the face mesh and from an eye camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.eyes.axes import EyeAxes
from edge.profile.eyes import EyeCalibration
from models.face.mesh import EYES, EyePoints
from streaming.records import EyeObservation, Float32Array

MIDDLE = slice(2, 7)  # lid points away from the corners


def aperture(lids: Float32Array, axes: EyeAxes | None = None) -> float:
    """Lid gap across the middle of the eye, as a share of the distance between its corners.

    Args:
        lids: (2,9,2) px, upper and lower, corner to corner.
        axes: of the eye; None = as the lids' own ends say.
    """
    axes = axes or EyeAxes.of_lids(lids)
    gaps = (lids[1, MIDDLE] - lids[0, MIDDLE]) @ axes.across
    return float(np.clip(gaps, 0.0, None).mean() / axes.width)


def iris_offset(
    lids: Float32Array, centre: Float32Array, axes: EyeAxes | None = None
) -> Float32Array:
    """(2,) where the iris is: from the corners' middle, along and across, per eye width."""
    return (axes or EyeAxes.of_lids(lids)).coordinates(centre)


def gaze_from_offset(
    offset: Float32Array,
    rest: Sequence[float],
    sines_from_way: Sequence[float] = EyeCalibration.sines_from_way,
) -> Float32Array:
    """(2,) rad yaw, pitch: positive towards the image's right and upwards.

    `rest` and `sines_from_way` as in `EyeCalibration`; by default those of an unturned camera.
    """
    way = offset - np.asarray(rest, np.float32)
    sines = np.asarray(sines_from_way, np.float32).reshape(2, 2) @ way
    return np.asarray(np.arcsin(np.clip(sines, -0.95, 0.95)), np.float32)


def mesh_lids(mesh: Float32Array, eye: EyePoints) -> Float32Array:
    """(2,9,2) px lids of one eye of the mesh."""
    return mesh[np.asarray(eye.lids), :2]


def mesh_iris(mesh: Float32Array, eye: EyePoints) -> Float32Array:
    """(2,) px centre of one iris of the mesh."""
    return mesh[eye.iris_centre, :2]


def mesh_apertures(mesh: Float32Array) -> tuple[float, float]:
    """Apertures of the (right, left) eye of a mesh (478,3)."""
    right, left = (aperture(mesh_lids(mesh, eye)) for eye in EYES)
    return right, left


def observed_offset(observation: EyeObservation, axes: EyeAxes | None = None) -> Float32Array:
    """(2,) offset of what the eye camera sees: the pupil, or the iris when there is no pupil."""
    ellipse = observation.pupil if observation.pupil[2] > 0 else observation.iris
    return iris_offset(observation.lids, ellipse[:2], axes)
