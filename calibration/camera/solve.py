"""From views of the board to the lens: Zhang's method (2000) as OpenCV has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.camera.board import BoardView

FloatArray = NDArray[np.float64]

ODD_VIEW = 3.0  # times the median error: a view taken in motion, or of a bent board
ODD_VIEW_PX = 0.3  # and at least so much off
WORTH = 0.95  # k3 is fitted when it lowers the error at least so far


@dataclass(frozen=True, eq=False)
class Solution:
    """A fitted lens and how well it is known."""

    matrix: FloatArray  # (3,3) px
    distortion: FloatArray  # (5,) k1 k2 p1 p2 k3
    rms_px: float
    focal_error: float  # standard deviation of the focal length, relative
    tilts: FloatArray  # (V,2) rad: how the board was turned in each view, about y and about x
    kept: tuple[int, ...]  # indices of the views that were used


def solve(views: Sequence[BoardView]) -> Solution:
    """Fit the lens to views of one size; views that do not fit the others are left out.

    Raises:
        ValueError: no view, or the fit fails.
    """
    kept = tuple(range(len(views)))
    solution, errors = _best_fit(views, kept)
    limit = max(ODD_VIEW * float(np.median(errors)), ODD_VIEW_PX)
    good = tuple(index for index, error in zip(kept, errors, strict=True) if error <= limit)
    if good and len(good) < len(kept):
        solution, _ = _best_fit(views, good)
    return solution


def _best_fit(views: Sequence[BoardView], kept: tuple[int, ...]) -> tuple[Solution, FloatArray]:
    """k3 is left out unless it earns its place: badly supported it bends the picture's border."""
    plain = _fit(views, kept, cv2.CALIB_FIX_K3)
    full = _fit(views, kept, 0)
    return full if full[0].rms_px < WORTH * plain[0].rms_px else plain


def _fit(
    views: Sequence[BoardView], kept: tuple[int, ...], flags: int
) -> tuple[Solution, FloatArray]:
    chosen = [views[index] for index in kept]
    if not chosen:
        raise ValueError("no view of the board")
    width, height = chosen[0].size_px
    try:
        rms, matrix, distortion, turns, _, deviations, _, errors = cv2.calibrateCameraExtended(  # type: ignore[call-overload]
            [view.places.astype(np.float32) for view in chosen],
            [view.points.astype(np.float32) for view in chosen],
            (width, height),
            None,
            None,
            flags=flags,
        )
    except cv2.error as error:
        raise ValueError(f"the lens cannot be fitted ({error.err})") from error
    focal = float(matrix[0, 0] + matrix[1, 1]) / 2
    spread = float(np.mean(np.ravel(deviations)[:2])) / max(focal, 1e-9)
    five = np.zeros(5)
    flat = np.ravel(distortion)[:5]
    five[: len(flat)] = flat
    solution = Solution(
        np.asarray(matrix, np.float64),
        five,
        float(rms),
        spread,
        np.array([_tilt(np.asarray(turn, np.float64)) for turn in turns]),
        kept,
    )
    return solution, np.ravel(np.asarray(errors, np.float64))


def _tilt(turn: FloatArray) -> tuple[float, float]:
    """How the board's normal is turned away from the camera: to the side, and up or down, rad."""
    normal = np.asarray(cv2.Rodrigues(turn)[0], np.float64)[:, 2]
    normal = normal * np.sign(normal[2]) if normal[2] else normal
    return float(np.arctan2(normal[0], normal[2])), float(np.arctan2(normal[1], normal[2]))
