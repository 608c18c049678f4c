"""Warp a reference image onto the current pose, piecewise affine over the face mesh.

The backward map is rasterised on a grid of every second pixel and interpolated: the map is smooth,
and it makes the warp four times cheaper. All triangles are rasterised at once: every triangle
contributes the grid points of its bounding box, those outside of it are discarded by their
barycentric coordinates.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from models import membrane

Float32Array = NDArray[np.float32]
Scalar = TypeVar("Scalar", np.uint8, np.float32)

GRID_STEP_PX = 2
TRIANGLES: NDArray[np.intp] = np.load(Path(__file__).parent / "face_triangles.npy").astype(np.intp)
# Chosen on the val clips: longer or shorter fades and no smoothing lose 0.03 to 0.4 dB.
FADE_RATIO = 0.19  # of the crop's side
SMOOTHING_CELLS = 1.0
MESH_POINTS_WITH_IRISES = 478
IRIS_AND_EYE_CORNERS = ((468, (33, 133)), (473, (263, 362)))
_INSIDE_TOLERANCE = 1e-4


def backward_map(mesh: Float32Array, reference_mesh: Float32Array, size_px: int) -> Float32Array:
    """Where in the reference each pixel of the current crop comes from, (S,S,2) float32 px.

    Meshes are (>=468,3) px of the crop and of the reference. Outside the mesh the displacement is
    continued as a membrane. Raises ValueError when no part of the mesh lies inside the crop.
    """
    cells = -(-size_px // GRID_STEP_PX)
    axis = np.arange(cells, dtype=np.float32) * GRID_STEP_PX + (GRID_STEP_PX - 1) / 2
    grid = np.stack(np.meshgrid(axis, axis), -1)
    rows, columns, sources = _rasterise(mesh, reference_mesh, cells)
    if not len(rows):
        raise ValueError("the face mesh lies outside the crop")
    displacement = np.zeros((cells, cells, 2), np.float32)
    covered = np.zeros((cells, cells), bool)
    displacement[rows, columns] = sources - grid[rows, columns]
    covered[rows, columns] = True
    displacement = _look_where_the_irises_look(
        _fade_beyond_mesh(membrane.extend(displacement, covered), covered),
        grid,
        mesh,
        reference_mesh,
    )
    size = (cells * GRID_STEP_PX, cells * GRID_STEP_PX)
    smooth = cv2.GaussianBlur(displacement, (0, 0), SMOOTHING_CELLS)
    fine = cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)[:size_px, :size_px]
    return identity_map(size_px) + fine


def _fade_beyond_mesh(displacement: Float32Array, covered: NDArray[np.bool_]) -> Float32Array:
    """Let the displacement die away outside the mesh: the background stays where it is."""
    beyond = cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, 5)
    remaining = 1 - np.minimum(beyond / (FADE_RATIO * len(covered)), 1)
    return np.asarray(displacement * remaining[..., None], np.float32)


def _look_where_the_irises_look(
    displacement: Float32Array, grid: Float32Array, mesh: Float32Array, reference_mesh: Float32Array
) -> Float32Array:
    """Shift the sources within each eye so that the reference's iris lands on the current one."""
    if min(len(mesh), len(reference_mesh)) < MESH_POINTS_WITH_IRISES:
        return displacement
    for centre_index, corner_indices in IRIS_AND_EYE_CORNERS:
        centre = mesh[centre_index, :2]
        corners = mesh[list(corner_indices), :2]
        radius = float(np.linalg.norm(corners[0] - corners[1])) / 2
        cell = ((centre - (GRID_STEP_PX - 1) / 2) / GRID_STEP_PX).astype(np.float32)
        if radius < 1e-3 or cell.min() < 0 or cell.max() > len(grid) - 1:
            continue
        found = look_up(displacement, cell.reshape(1, 1, 2))
        missing = reference_mesh[centre_index, :2] - (centre + found[0, 0])
        distance = ((grid - centre) ** 2).sum(-1) / (0.8 * radius**2)
        displacement = displacement + (np.maximum(0, 1 - distance) ** 2)[..., None] * missing
    return np.asarray(displacement, np.float32)


def identity_map(size_px: int) -> Float32Array:
    """Map that leaves an image as it is, (S,S,2) float32 px."""
    axis = np.arange(size_px, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), -1)


def look_up(values: NDArray[Scalar], backward: Float32Array) -> NDArray[Scalar]:
    """Look `values` (H,W,C) up at the positions of `backward` (S,S,2), border values repeated."""
    map_y = np.empty(0, np.float32)  # `backward` holds both coordinates
    found = cv2.remap(values, backward, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, values.dtype)


def _rasterise(
    mesh: Float32Array, reference_mesh: Float32Array, cells: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Float32Array]:
    """Grid rows, columns and reference positions covered by the mesh; nearest triangle last."""
    points = (mesh[:, :2] - (GRID_STEP_PX - 1) / 2) / GRID_STEP_PX
    corners = points[TRIANGLES]  # (N,3,2) in grid cells
    low = np.maximum(np.ceil(corners.min(1)), 0).astype(np.intp)
    high = np.minimum(np.floor(corners.max(1)), cells - 1).astype(np.intp)
    box = np.maximum(high - low + 1, 0)
    to_b, to_c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0]
    count = np.where(np.abs(area) > 1e-6, box[:, 0] * box[:, 1], 0)
    drawn = np.argsort(-mesh[TRIANGLES, 2].sum(1), kind="stable")
    drawn = drawn[count[drawn] > 0]  # far to near, so that near triangles overwrite
    counts = count[drawn]
    triangle = np.repeat(drawn, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within, box[triangle, 0])
    row, column = row + low[triangle, 1], column + low[triangle, 0]
    offset = np.stack([column, row], -1) - corners[triangle, 0]
    scale = 1 / area[triangle]
    edge_b, edge_c = to_b[triangle], to_c[triangle]
    b = (offset[:, 0] * edge_c[:, 1] - offset[:, 1] * edge_c[:, 0]) * scale
    c = (offset[:, 1] * edge_b[:, 0] - offset[:, 0] * edge_b[:, 1]) * scale
    inside = (np.minimum(b, c) >= -_INSIDE_TOLERANCE) & (b + c <= 1 + _INSIDE_TOLERANCE)
    triangle, b, c = triangle[inside], b[inside, None], c[inside, None]
    source = reference_mesh[:, :2][TRIANGLES[triangle]]  # (M,3,2)
    position = source[:, 0] * (1 - b - c) + source[:, 1] * b + source[:, 2] * c
    return row[inside], column[inside], position.astype(np.float32)
