"""Spread values given at the mesh's points over the pixels of a crop.

Values are interpolated linearly within each triangle, on a grid of every second pixel: what is
spread is smooth, and it costs a quarter. All triangles are rasterised at once: every triangle
contributes the grid points of its bounding box, and its barycentric coordinates discard the rest.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models import membrane

Float32Array = NDArray[np.float32]
Indices = NDArray[np.intp]

GRID_STEP_PX = 2
MESH_POINTS = 468  # the irises' points belong to no triangle
TRIANGLES: Indices = np.load(Path(__file__).parent / "face_triangles.npy").astype(np.intp)
# Chosen on the val clips: longer or shorter fades lose 0.03 to 0.4 dB.
FADE_RATIO = 0.19  # of the crop's side
_INSIDE_TOLERANCE = 1e-4


class FaceRaster:
    """Which triangle of a mesh covers each grid point, and where in the triangle the point lies."""

    def __init__(self, mesh: Float32Array, size_px: int) -> None:
        """Rasterise `mesh` (>=468,3) px; ValueError when no part of it lies inside the crop."""
        self.size_px, self.cells = size_px, -(-size_px // GRID_STEP_PX)
        self._rows, self._columns, self._triangles, self._weights = _rasterise(mesh, self.cells)
        if not len(self._rows):
            raise ValueError("the face mesh lies outside the crop")
        self.covered = np.zeros((self.cells, self.cells), bool)
        self.covered[self._rows, self._columns] = True
        beyond = cv2.distanceTransform((~self.covered).astype(np.uint8), cv2.DIST_L2, 5)
        self._remaining = 1 - np.minimum(beyond / (FADE_RATIO * self.cells), 1)

    @property
    def grid(self) -> Float32Array:
        """Position of every grid point, (cells,cells,2) float32 px; read-only."""
        return _grid(self.cells)

    def spread(self, values: Float32Array) -> Float32Array:
        """Values (468,C) at the mesh's points, on the grid (cells,cells,C) float32.

        Beside the mesh they are continued as a membrane and die away: the background stays.
        """
        corners = values[TRIANGLES[self._triangles]]  # (M,3,C)
        field = np.zeros((self.cells, self.cells, values.shape[1]), np.float32)
        field[self._rows, self._columns] = np.einsum("mkc,mk->mc", corners, self._weights)
        extended = membrane.extend(field, self.covered, membrane.QUICK)
        return np.asarray(extended * self._remaining[..., None], np.float32)

    def enlarged(self, field: Float32Array) -> Float32Array:
        """A field on the grid as one on the crop's pixels, (S,S,C)."""
        side = self.cells * GRID_STEP_PX
        fine = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine, np.float32)[: self.size_px, : self.size_px]


@lru_cache(maxsize=4)
def _grid(cells: int) -> Float32Array:
    axis = np.arange(cells, dtype=np.float32) * GRID_STEP_PX + (GRID_STEP_PX - 1) / 2
    positions: Float32Array = np.stack(np.meshgrid(axis, axis), -1)
    positions.flags.writeable = False
    return positions


def _rasterise(mesh: Float32Array, cells: int) -> tuple[Indices, Indices, Indices, Float32Array]:
    """Row, column, triangle and corner weights (M,3) of covered grid points; nearest last."""
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
    weights = np.stack([1 - b - c, b, c], -1)[inside].astype(np.float32)
    return row[inside], column[inside], triangle[inside], weights
