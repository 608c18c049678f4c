"""Measuring eyes by their lids: the same numbers from the face mesh and from an eye camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge.profile.eyes import EyeCalibration
from models.face_mesh import EYES, EyePoints
from streaming.records import EyeObservation, Float32Array

MIDDLE = slice(2, 7)  # lid points away from the corners


def aperture(lids: Float32Array) -> float:
    """Lid gap across the middle of the eye, as a share of the distance between its corners.

    Args:
        lids: (2,9,2) px, upper and lower, corner to corner.
    """
    _, _, across, width = _axes(lids)
    gaps = (lids[1, MIDDLE] - lids[0, MIDDLE]) @ across
    return float(np.clip(gaps, 0.0, None).mean() / width)


def iris_offset(lids: Float32Array, centre: Float32Array) -> Float32Array:
    """(2,) where the iris is: from the corners' middle, along and across, per eye width."""
    origin, along, across, width = _axes(lids)
    offset = centre - origin
    return np.array([offset @ along, offset @ across], np.float32) / np.float32(width)


def eye_coordinates(points: Float32Array, lids: Float32Array) -> Float32Array:
    """Points (…,2) px in the axes of an eye whose lids (2,9,2) px are given.

    Along and across (down) from the corners' middle, in eye widths.
    """
    origin, along, across, width = _axes(lids)
    offset = points - origin
    return np.asarray(np.stack([offset @ along, offset @ across], -1) / width, np.float32)


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


def observed_offset(observation: EyeObservation) -> Float32Array:
    """(2,) offset of what the eye camera sees: the pupil, or the iris when there is no pupil."""
    ellipse = observation.pupil if observation.pupil[2] > 0 else observation.iris
    return iris_offset(observation.lids, ellipse[:2])


def _axes(lids: Float32Array) -> tuple[Float32Array, Float32Array, Float32Array, float]:
    first, last = lids[:, 0].mean(axis=0), lids[:, -1].mean(axis=0)
    chord = last - first
    width = max(float(math.hypot(chord[0], chord[1])), 1e-3)
    along = chord / width
    across = np.array([-along[1], along[0]], np.float32)
    return (first + last) / 2, along, across, width
