"""Measuring eyes by their lids: the same numbers from the face mesh and from an eye camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.face_mesh import EYES, EyePoints
from streaming.records import EyeObservation, Float32Array

MIDDLE = slice(2, 7)  # lid points away from the corners
# The visible eye is about 30 mm wide on an eyeball of 12 mm radius.
EYE_WIDTH_PER_RADIUS = 30.0 / 12.0


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


def gaze_from_offset(offset: Float32Array, rest: Sequence[float]) -> Float32Array:
    """(2,) rad yaw, pitch: positive towards the image's right and upwards."""
    moved = (offset - np.asarray(rest, np.float32)) * EYE_WIDTH_PER_RADIUS
    yaw, down = np.arcsin(np.clip(moved, -0.95, 0.95))
    return np.array([yaw, -down], np.float32)


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
