"""Which views of the board there are and which are still missing, in plain words."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.camera.board import BoardView
from edge.marker.pose import nominal_lens

FloatArray = NDArray[np.float64]

GRID = 4  # the picture is divided into so many columns and rows
MIN_SHARE = 0.75  # of these fields in which a corner was seen: beyond the views' border it guesses
MIN_VIEWS, MAX_VIEWS = 10, 40
# Without perspective, focal length and distance cannot be told apart.
MIN_TILT_RAD = float(np.radians(15))
NEW_SHARE = 0.08  # of the picture's width, by which corners lie elsewhere than in any other view
NEW_TILT_RAD = float(np.radians(8))
PLACES = (
    ("upper left", "top", "top", "upper right"),
    ("left", "middle", "middle", "right"),
    ("left", "middle", "middle", "right"),
    ("lower left", "bottom", "bottom", "lower right"),
)
TILTS = ("right", "left", "lower", "upper")  # edge of the board that was near the camera


class Coverage:
    """Collects views and says what is missing."""

    def __init__(self) -> None:
        """No view yet."""
        self.views: list[BoardView] = []
        self._marks: list[FloatArray] = []  # per view: middle, spread (share of width), tilt (rad)
        self._fields = np.zeros((GRID, GRID), bool)
        self._tilted = np.zeros(4, bool)

    @property
    def share(self) -> float:
        """How much of the picture the corners reach, 0..1."""
        return float(self._fields.mean())

    @property
    def is_complete(self) -> bool:
        """Whether a lens may be made of it."""
        return not self.missing()

    def add(self, view: BoardView, *, only_new: bool = True) -> bool:
        """Take a view in; False when it tells too little that others did not (`only_new`)."""
        mark = _mark(view)
        if only_new and not self._is_new(mark, view):
            return False
        self.views.append(view)
        self._marks.append(mark)
        self._fields |= _fields(view)
        self._tilted |= _directions(mark)
        return True

    def missing(self) -> list[str]:
        """What to do next, the most wanted first; empty when it is enough."""
        wanted = []
        if self.share < MIN_SHARE:
            row, column = self._emptiest()
            wanted.append(f"Hold the board to the {PLACES[row][column]} of the camera's picture.")
        for is_done, edge in zip(self._tilted, TILTS, strict=True):
            if not is_done:
                wanted.append(f"Tilt the board: its {edge} edge towards the camera.")
        if not wanted and len(self.views) < MIN_VIEWS:
            wanted.append("Show the board at other distances and angles.")
        return wanted

    def _is_new(self, mark: FloatArray, view: BoardView) -> bool:
        if len(self.views) >= MAX_VIEWS:
            return False
        if not self.views or (_directions(mark) & ~self._tilted).any():
            return True
        difference = np.abs(np.array(self._marks) - mark)
        near = (difference[:, :3] < NEW_SHARE).all(axis=1)
        near &= (difference[:, 3:] < NEW_TILT_RAD).all(axis=1)
        return not bool(near.any()) or int((_fields(view) & ~self._fields).sum()) >= 2

    def _emptiest(self) -> tuple[int, int]:
        """The empty field farthest from what was seen, of equals the outermost."""
        empty, seen = np.argwhere(~self._fields), np.argwhere(self._fields)
        outward = np.abs(empty - (GRID - 1) / 2).sum(axis=1)
        far = np.zeros(len(empty))
        if len(seen):
            far = np.linalg.norm(empty[:, None] - seen[None], axis=2).min(axis=1)
        row, column = empty[int((far + 0.01 * outward).argmax())]
        return int(row), int(column)


def _mark(view: BoardView) -> FloatArray:
    middle = view.points.mean(axis=0) / view.size_px[0]
    # Per square, so that views of a part of the board compare with others.
    spread = np.ptp(view.points, axis=0).mean() / np.ptp(view.places[:, :2], axis=0).mean()
    return np.array([*middle, spread * 4 / view.size_px[0], *_rough_tilt(view)])


def _rough_tilt(view: BoardView) -> FloatArray:
    """(2,) rad with an assumed lens, good enough to guide; positive: right, lower edge near."""
    lens = nominal_lens(view.size_px[::-1])
    rays, still = lens.rays(view.points), np.zeros(4)
    found, turn, _ = cv2.solvePnP(view.places, rays, np.eye(3), still, flags=cv2.SOLVEPNP_IPPE)
    if not found:
        return np.zeros(2)
    normal = np.asarray(cv2.Rodrigues(turn)[0], np.float64)[:, 2]
    return np.arctan2(normal[:2], max(float(normal[2]), 1e-6))


def _directions(mark: FloatArray) -> NDArray[np.bool_]:
    sideways, downwards = mark[3:]
    return np.array([sideways, -sideways, downwards, -downwards]) >= MIN_TILT_RAD


def _fields(view: BoardView) -> NDArray[np.bool_]:
    fields = np.zeros((GRID, GRID), bool)
    places = np.floor(view.points / np.array(view.size_px) * GRID).astype(int)
    columns, rows = np.clip(places, 0, GRID - 1).T
    fields[rows, columns] = True
    return fields
