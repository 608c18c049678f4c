"""The surface of a face mask on one face: a grid of points fitted to the mesh, and its straps.

The mask hangs from the nose and follows cheeks, jaw and chin; in front of nose and mouth it is
taut. All of it moves with the mesh: who talks, moves the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmd_capture.face_masks.cut import SCARVES, Cut
from hmd_capture.head_pose import HeadPose
from models.face.mesh import CHIN, JAW, LEFT_SIDE, NOSE_TIP, RIGHT_SIDE

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

ROWS, COLUMNS = 13, 17  # of the grid; the surface is smooth
BRIDGE = (6, 197, 195, 5)  # mesh points down the nose, to the tip
UPPER_LIP = 0
EAR_BEHIND = 0.30  # spans, of the widest point of the face
CHIN_INDEX = JAW.index(CHIN)


@dataclass(frozen=True)
class Surface:
    """On the head, in spans."""

    grid: FloatArray  # (ROWS,COLUMNS,3): rows downwards, columns to the image's right
    straps: tuple[FloatArray, ...]  # lines (K,3), in the order right upper, lower, left upper, …


class Face:
    """Measures of one mesh in the head's axes."""

    def __init__(self, mesh: Float32Array, pose: HeadPose) -> None:
        """`mesh` (478,3) px; `pose` is its own."""
        centred = mesh.astype(np.float64) - pose.origin_px
        self.points: FloatArray = centred @ pose.frame_from_head / pose.span_px
        self.tip, self.chin = self.points[NOSE_TIP], self.points[CHIN]
        jaw = self.points[list(JAW)]
        # Right and left half of the jaw, from the ear down to the chin, as heights only grow.
        self._halves = [_falling(half) for half in (jaw[: CHIN_INDEX + 1], jaw[CHIN_INDEX:][::-1])]

    def half_width(self, height: float) -> FloatArray:
        """How far the face reaches to the right and to the left at a height, (2,) both > 0."""
        return np.array([np.interp(height, half[:, 1], abs(half[:, 0])) for half in self._halves])

    def edge_depth(self, heights: FloatArray) -> FloatArray:
        """Depth of the face's outline at heights (K,), right and left, (2,K)."""
        return np.array([np.interp(heights, half[:, 1], half[:, 2]) for half in self._halves])

    def jaw_height(self, across: FloatArray) -> FloatArray:
        """Where the jaw ends at places (K,) across the face."""
        right, left = self._halves
        line = np.concatenate([right, left[::-1][1:]])
        order = np.argsort(line[:, 0])
        return np.interp(across, line[order, 0], line[order, 1])

    def nose_depth(self, heights: FloatArray) -> FloatArray:
        """Depth of the nose's bridge at heights (K,)."""
        line = self.points[[*BRIDGE, NOSE_TIP]]
        order = np.argsort(line[:, 1])
        return np.interp(heights, line[order, 1], line[order, 2])


def fitted(cut: Cut, mesh: Float32Array, pose: HeadPose) -> Surface:
    """Fit a cut to the face of a (478,3) px mesh in its pose."""
    face = Face(mesh, pose)
    across = np.linspace(-1, 1, COLUMNS)
    down = np.linspace(0, 1, ROWS)
    upper = _upper_edge(cut, face, across)
    lower = _lower_edge(cut, face, across)
    middle = _sideways(upper, lower, down, cut)
    heights = upper[:, 1] + (lower[:, 1] - upper[:, 1]) * down[:, None]
    depth = _depths(cut, face, heights, across)
    grid = np.stack([middle, heights, depth], axis=-1)
    grid = _crooked(grid, cut.roll, face.tip)
    return Surface(grid, _straps(cut, face, grid))


def _upper_edge(cut: Cut, face: Face, across: FloatArray) -> FloatArray:
    """(COLUMNS,2) x and y of the upper edge."""
    tip_y = face.tip[1]
    bridge_y = face.points[BRIDGE[0], 1]
    nose_y = bridge_y + cut.top * (tip_y - bridge_y)
    side_y = tip_y + cut.side_top
    right, left = cut.reach * face.half_width(side_y)
    x = np.where(across < 0, across * right, across * left)
    cheek_y = max(tip_y + cut.cheek, nose_y + 0.04)
    corners = ((0.0, nose_y), (0.12, nose_y + 0.35 * (cheek_y - nose_y)), (0.34, cheek_y))
    distance = [place for place, _ in corners] + [max(right, left)]
    fall = [height for _, height in corners] + [side_y]
    y = np.interp(abs(x), distance, fall)
    smooth = np.convolve(np.pad(y, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    return np.stack([x, smooth], axis=1)


def _lower_edge(cut: Cut, face: Face, across: FloatArray) -> FloatArray:
    """(COLUMNS,2) x and y of the lower edge: round the jaw, or on the neck."""
    tip_y, chin_y = face.tip[1], face.chin[1]
    if cut.kind in SCARVES:
        right, left = cut.reach * cut.widening * face.half_width(tip_y)
        x = np.where(across < 0, across * right, across * left)
        drop = cut.under * (1 - 0.25 * across**2) if cut.kind == "scarf" else cut.under
        y = np.full(COLUMNS, chin_y) + drop - 0.3 * cut.under * abs(across) ** 3
        return np.stack([x, y], axis=1)
    side_y = tip_y + cut.side_bottom * (chin_y - tip_y)
    right, left = min(1.0, cut.reach + 0.1) * face.half_width(side_y)
    x = np.where(across < 0, across * right, across * left)
    y = face.jaw_height(x) + cut.under * (1 - 0.5 * abs(across))
    y = np.minimum(y, chin_y + cut.under)
    y[[0, -1]] = side_y
    smooth = np.convolve(np.pad(y, 1, mode="edge"), (0.15, 0.7, 0.15), mode="valid")
    return np.stack([x, np.maximum(smooth, y)], axis=1)


def _sideways(upper: FloatArray, lower: FloatArray, down: FloatArray, cut: Cut) -> FloatArray:
    """x of the grid: from the upper edge's to the lower's, bulging in between."""
    x = upper[:, 0] + (lower[:, 0] - upper[:, 0]) * down[:, None]
    bulge = 1 + (0.04 + 0.4 * cut.standoff) * np.sin(np.pi * down[:, None]) * (abs(x) > 0)
    return np.asarray(x * np.where(abs(x) < 0.8 * abs(x).max(), bulge, 1.0))


def _depths(cut: Cut, face: Face, heights: FloatArray, across: FloatArray) -> FloatArray:
    """z of the grid: on the nose's bridge above, taut from tip to chin, back at the sides."""
    middle = heights[:, COLUMNS // 2]
    tip, chin = face.tip, face.chin
    lip = min(face.points[UPPER_LIP, 2], tip[2] + 0.12)
    bottom = chin[1] + max(cut.under, 0.02)
    front = np.interp(
        middle,
        [tip[1], face.points[UPPER_LIP, 1] + 1e-3, chin[1], bottom],
        [tip[2], lip - 0.4 * cut.standoff, chin[2], chin[2] + 0.25],
    )
    above = face.nose_depth(middle)
    down = np.linspace(0, 1, ROWS)
    centre = np.where(middle < tip[1], above, front) - cut.standoff * np.sin(np.pi * down) ** 0.7
    back = 0.12 if cut.kind in SCARVES else -0.10
    edges = face.edge_depth(middle) + back
    sides = np.where(across[:, None] < 0, edges[0], edges[1]).T
    sides = np.maximum(sides, centre[:, None] + 0.05)
    return np.asarray(centre[:, None] + (sides - centre[:, None]) * abs(across) ** 1.7)


def _crooked(grid: FloatArray, roll: float, pivot: FloatArray) -> FloatArray:
    turned = grid.copy()
    offset = grid[..., :2] - pivot[:2]
    cos, sin = np.cos(roll), np.sin(roll)
    turned[..., :2] = pivot[:2] + offset @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _straps(cut: Cut, face: Face, grid: FloatArray) -> tuple[FloatArray, ...]:
    """Lines from the mask's corners to behind the ears, or on round the head."""
    if cut.straps == "none":
        return ()
    lines = []
    for column, side in ((0, RIGHT_SIDE), (-1, LEFT_SIDE)):
        ear = face.points[side] + np.array([0, 0.06, EAR_BEHIND])
        sign = -1.0 if column == 0 else 1.0
        for row, offset in ((1, -0.10), (ROWS - 3, 0.16)):
            start = grid[row, column]
            end = ear + np.array([0.03 * sign, offset, 0.0])
            if cut.straps == "bands":
                end = end + np.array([0.10 * sign, 2.2 * offset - 0.08, 0.35])
            halfway = (start + end) / 2 + np.array([0.05 * sign, 0.03, 0.0])
            lines.append(np.stack([start, halfway, end]))
    return tuple(lines)


def _falling(half: FloatArray) -> FloatArray:
    """A half of the jaw as a line whose heights only grow, for interpolation."""
    heights = np.maximum.accumulate(half[:, 1])
    return np.column_stack([half[:, 0], heights + 1e-6 * np.arange(len(half)), half[:, 2]])
