"""Warp a reference image onto the current pose, piecewise affine over the face mesh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, FACE_OVAL, JAW, POINT_COUNT
from models.face.raster import GRID_STEP_PX, MESH_POINTS, FaceRaster

Float32Array = NDArray[np.float32]
Scalar = TypeVar("Scalar", np.uint8, np.float32)

SMOOTHING_CELLS = 1.0  # the map's kinks at triangle edges are noise; +0.04 dB on the val clips
# The head's outline above the jaw, and the widest points of it in front of the ears.
_HEAD = sorted(set(FACE_OVAL) - set(JAW[2:-2]))
EYE_REACH = 0.8  # how far an iris moves its surroundings: squared radius over that of the eye


def backward_map(
    mesh: Float32Array, reference_mesh: Float32Array, raster: FaceRaster
) -> Float32Array:
    """Where in the reference each pixel of the current crop comes from, (S,S,2) float32 px.

    Meshes are (>=468,3) px of the crop and of the reference; `raster` is that of `mesh`.
    """
    return backward_maps(mesh, [reference_mesh], raster)[0]


def backward_maps(
    mesh: Float32Array, reference_meshes: Sequence[Float32Array], raster: FaceRaster
) -> list[Float32Array]:
    """`backward_map` for each of several references, cheaper than one by one.

    Beside the mesh, hair, ears and neck move as the head does: the mesh's own deformation dies away
    there, the head's motion as a whole does not.
    """
    here = mesh[:MESH_POINTS, :2]
    motions = [head_motion(mesh, reference) for reference in reference_meshes]
    moves = [
        reference[:MESH_POINTS, :2] - moved(here, motion)
        for reference, motion in zip(reference_meshes, motions, strict=True)
    ]
    spread, maps = raster.spread(np.concatenate(moves, 1)), []
    for index, reference in enumerate(reference_meshes):
        displacement = spread[..., 2 * index : 2 * index + 2] - raster.grid
        displacement += moved(raster.grid, motions[index])
        if min(len(mesh), len(reference)) >= POINT_COUNT:
            _move_irises(displacement, raster.grid, mesh, reference)
        smooth = cv2.GaussianBlur(displacement, (0, 0), SMOOTHING_CELLS)
        found = raster.enlarged(np.asarray(smooth, np.float32))
        found += identity_map(raster.size_px)
        maps.append(found)
    return maps


def head_motion(mesh: Float32Array, reference_mesh: Float32Array) -> Float32Array:
    """Similarity (2,3) from px of `mesh` to px of `reference_mesh`, both (>=468,3).

    Over the points that neither jaw nor brows move.
    """
    return similarity(mesh[_HEAD, :2], reference_mesh[_HEAD, :2])


def similarity(points: Float32Array, others: Float32Array) -> Float32Array:
    """Similarity (2,3) that takes `points` (N,2) px nearest to `others` (N,2).

    Least squares (Umeyama 1991, in the plane).
    """
    middle, other_middle = points.mean(0), others.mean(0)
    offsets, other_offsets = points - middle, others - other_middle
    length = max(float((offsets**2).sum()), 1e-6)
    cosine = float((offsets * other_offsets).sum()) / length
    turned = offsets[:, 0] * other_offsets[:, 1] - offsets[:, 1] * other_offsets[:, 0]
    sine = float(turned.sum()) / length
    turn = np.array([[cosine, -sine], [sine, cosine]], np.float32)
    return np.column_stack([turn, other_middle - turn @ middle]).astype(np.float32)


def moved(points: Float32Array, motion: Float32Array) -> Float32Array:
    """Points (...,2) moved by an affine motion (2,3)."""
    return np.asarray(points @ motion[:, :2].T + motion[:, 2], np.float32)


@lru_cache(maxsize=4)
def identity_map(size_px: int) -> Float32Array:
    """Map that leaves an image as it is, (S,S,2) float32 px; read-only."""
    axis = np.arange(size_px, dtype=np.float32)
    positions: Float32Array = np.stack(np.meshgrid(axis, axis), -1)
    positions.flags.writeable = False
    return positions


def look_up(
    values: NDArray[Scalar], backward: Float32Array, interpolation: int = cv2.INTER_LINEAR
) -> NDArray[Scalar]:
    """Look `values` (H,W,C) up at the positions of `backward` (S,T,2), border values repeated.

    `interpolation` is OpenCV's: bilinear blurs what lies between pixels, `INTER_CUBIC` and
    `INTER_LANCZOS4` keep it at 5 and 15 times the cost.
    """
    map_y = np.empty(0, np.float32)  # `backward` holds both coordinates
    found = cv2.remap(values, backward, map_y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, values.dtype)


def _move_irises(
    displacement: Float32Array, grid: Float32Array, mesh: Float32Array, reference_mesh: Float32Array
) -> None:
    """Shift the sources within each eye so that the reference's iris lands on the current one."""
    for eye in EYES:
        centre = mesh[eye.iris_centre, :2]
        across = mesh[eye.outer_corner, :2] - mesh[eye.inner_corner, :2]
        radius = float(np.linalg.norm(across)) / 2
        cell = ((centre - (GRID_STEP_PX - 1) / 2) / GRID_STEP_PX).astype(np.float32)
        if radius < 1e-3 or cell.min() < 0 or cell.max() > len(grid) - 1:
            continue
        found = look_up(displacement, cell.reshape(1, 1, 2))
        missing = reference_mesh[eye.iris_centre, :2] - (centre + found[0, 0])
        reach = math.sqrt(EYE_REACH) * radius / GRID_STEP_PX
        low = np.maximum(np.ceil(cell - reach), 0).astype(int)
        high = np.floor(cell + reach).astype(int) + 1
        part = np.s_[low[1] : high[1], low[0] : high[0]]
        distance = ((grid[part] - centre) ** 2).sum(-1) / (EYE_REACH * radius**2)
        displacement[part] += (np.maximum(0, 1 - distance) ** 2)[..., None] * missing
