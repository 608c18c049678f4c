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
TRIANGLES: Indices = np.load(Path(__file__).parent / "triangles.npy").astype(np.intp)
_CORNERS: Indices = np.ascontiguousarray(TRIANGLES.T)
# Chosen on the val clips: longer or shorter fades lose 0.03 to 0.4 dB.
FADE_RATIO = 0.19  # of the crop's side
_INSIDE_TOLERANCE = 1e-4


class FaceRaster:
    """Which triangle of a mesh covers each grid point, and where in the triangle the point lies."""

    def __init__(self, mesh: Float32Array, size_px: int) -> None:
        """Rasterise `mesh` (>=468,3) px; ValueError when no part of it lies inside the crop."""
        self.size_px, self.cells = size_px, -(-size_px // GRID_STEP_PX)
        rows, columns, triangles, weights = _rasterise(mesh, self.cells)
        if not len(rows):
            raise ValueError("the face mesh lies outside the crop")
        self._rows, self._columns = rows, columns
        self._corners = TRIANGLES[triangles].T  # (3,M) points of the mesh
        self._weights = np.ascontiguousarray(weights.T)[..., None]  # (3,M,1)
        self.covered = np.zeros((self.cells, self.cells), bool)
        self.covered[rows, columns] = True
        self._membrane = membrane.Membrane(self.covered)
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
        a, b, c = (
            values.take(corner, 0) * weight
            for corner, weight in zip(self._corners, self._weights, strict=True)
        )
        field = np.zeros((self.cells, self.cells, values.shape[1]), np.float32)
        field[self._rows, self._columns] = a + b + c
        extended = self._membrane.extend(field)
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
    # One array per coordinate: twice as fast as (N,3,2) for these few hundred triangles.
    x, y = ((mesh[:, axis] - (GRID_STEP_PX - 1) / 2) / GRID_STEP_PX for axis in (0, 1))
    x, y = x[_CORNERS], y[_CORNERS]  # (3,N) in grid cells
    (left, width), (top, height) = _span(x, cells), _span(y, cells)
    b_x, b_y, c_x, c_y = x[1] - x[0], y[1] - y[0], x[2] - x[0], y[2] - y[0]
    area = b_x * c_y - b_y * c_x
    count = np.where(np.abs(area) > 1e-6, width * height, 0)
    depth = mesh[:, 2][_CORNERS]
    drawn = np.argsort(-(depth[0] + depth[1] + depth[2]), kind="stable")
    drawn = drawn[count[drawn] > 0]  # far to near, so that near triangles overwrite
    counts = count[drawn]
    triangle = np.repeat(drawn, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within, width[triangle])
    row, column = row + top[triangle], column + left[triangle]
    across, down = column - x[0][triangle], row - y[0][triangle]
    scale = 1 / area[triangle]
    b = (across * c_y[triangle] - down * c_x[triangle]) * scale
    c = (down * b_x[triangle] - across * b_y[triangle]) * scale
    inside = (np.minimum(b, c) >= -_INSIDE_TOLERANCE) & (b + c <= 1 + _INSIDE_TOLERANCE)
    b, c = b[inside], c[inside]
    weights = np.stack([1 - b - c, b, c], -1).astype(np.float32)
    return row[inside], column[inside], triangle[inside], weights


def _span(corners: Float32Array, cells: int) -> tuple[Indices, Indices]:
    """First grid cell and number of cells that each triangle's corners (3,N) span on one axis."""
    lowest = np.minimum(np.minimum(corners[0], corners[1]), corners[2])
    highest = np.maximum(np.maximum(corners[0], corners[1]), corners[2])
    first = np.maximum(np.ceil(lowest), 0).astype(np.intp)
    last = np.minimum(np.floor(highest), cells - 1).astype(np.intp)
    return first, np.maximum(last - first + 1, 0)
