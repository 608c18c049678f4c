"""The calibration board before a camera with a known lens, drawn for tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.camera.board import CELLS, COLUMNS, ROWS, board_pattern

FloatArray = NDArray[np.float64]
FINE = 2  # samples along a pixel's side
CELL_PX = 6  # of the drawn board
RIM = 0.5  # squares of white around it


@dataclass(frozen=True)
class KnownLens:
    """A pinhole with Brown's distortion, written down anew and not with OpenCV's functions."""

    focal: tuple[float, float] = (610.0, 610.0)
    middle: tuple[float, float] = (327.0, 236.0)
    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    size: tuple[int, int] = (640, 480)

    def pixels(self, rays: FloatArray) -> FloatArray:
        return self._bent(rays) * self.focal + self.middle

    def rays(self, pixels: FloatArray) -> FloatArray:
        wanted = (pixels - self.middle) / self.focal
        rays = wanted.copy()
        for _ in range(30):
            rays += wanted - self._bent(rays)
        return rays

    @cached_property
    def grid(self) -> FloatArray:
        """Rays of all samples of a picture, (H·FINE, W·FINE, 2)."""
        x, y = (np.arange(side * FINE) / FINE + 0.5 / FINE - 0.5 for side in self.size)
        places = np.stack(np.meshgrid(x, y), axis=-1)
        return self.rays(places.reshape(-1, 2)).reshape(places.shape).astype(np.float32)

    def _bent(self, rays: FloatArray) -> FloatArray:
        x, y = rays.T
        r2 = x * x + y * y
        radial = 1 + self.k1 * r2 + self.k2 * r2 * r2
        across = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        down = y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y
        return np.column_stack([across, down])


def board_picture(
    lens: KnownLens,
    tilt_deg: tuple[float, float] = (0.0, 0.0),
    place: tuple[float, float, float] = (0.0, 0.0, 12.0),
    bow: float = 0.0,
    blur_px: float = 0.6,
    noise: float = 2.0,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """The board in grey: its middle at `place` in squares, right and lower edge nearer by tilt.

    `bow` bends the board: the border lies so many squares behind the middle.
    """
    sideways, downwards = np.radians(tilt_deg)
    turn = np.asarray(cv2.Rodrigues(np.array([0.0, sideways, 0.0]))[0]) @ np.asarray(
        cv2.Rodrigues(np.array([-downwards, 0.0, 0.0]))[0]
    )
    middle = np.array(place)
    on_board = _met(lens.grid, turn, middle, np.float32(0))
    for _ in range(3 if bow else 0):  # the ray meets the bowed board a little later
        behind = bow * ((on_board / (COLUMNS / 2)) ** 2).sum(axis=2)
        on_board = _met(lens.grid, turn, middle, behind)
    texture = np.kron(board_pattern(), np.ones((CELL_PX, CELL_PX), np.uint8))
    rim = round(RIM * CELLS * CELL_PX)
    texture = cv2.copyMakeBorder(texture, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=(255,))
    half = np.array([COLUMNS, ROWS]) / 2 + RIM
    source = ((on_board + half) * CELLS * CELL_PX - 0.5).astype(np.float32)
    fine = cv2.remap(texture, source, None, cv2.INTER_LINEAR, borderValue=(90,))  # type: ignore[call-overload]
    picture = cv2.resize(fine, lens.size, interpolation=cv2.INTER_AREA).astype(np.float64)
    picture = cv2.GaussianBlur(picture, (0, 0), blur_px) * 0.8 + 20
    picture += np.random.default_rng(seed).normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _met(grid: FloatArray, turn: FloatArray, middle: FloatArray, behind: FloatArray) -> FloatArray:
    """Where rays meet the board, or what lies so far behind it, in squares from its middle."""
    grid, turn, middle = (np.asarray(v, np.float32) for v in (grid, turn, middle))
    depth = (middle @ turn[:, 2] + behind) / (grid @ turn[:2, 2] + turn[2, 2])
    on_board = (grid @ turn[:2, :2] + turn[2, :2]) * depth[..., None]
    return np.asarray(on_board - middle @ turn[:, :2])


# What a person does who follows the advice: (sideways, down) degrees; (x, y, z) squares.
GOOD_VIEWS: tuple[tuple[tuple[float, float], tuple[float, float, float]], ...] = (
    ((0, 0), (0, 0, 13)),
    ((25, 0), (0, 0, 13)),
    ((-25, 5), (0, 0, 13)),
    ((0, 25), (0, 0, 13)),
    ((5, -25), (0, 0, 13)),
    ((20, 20), (-3.5, -1.6, 13)),
    ((-20, 20), (3.5, -1.6, 13)),
    ((20, -20), (-3.5, 1.6, 13)),
    ((-20, -20), (3.5, 1.6, 13)),
    ((0, 0), (0, 0, 9)),
    ((30, 0), (-3.0, 0, 11)),
    ((-30, 0), (3.0, 0, 11)),
    ((0, 35), (1.0, 0.5, 12)),
    ((15, -35), (-1.0, -0.5, 12)),
)
