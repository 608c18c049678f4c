"""The ChArUco board: a chessboard with markers in its white squares: seen in part is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.marker.sheet import PAGE_MM, TEXT_MM, Box, Sheet, with_ruler
from streaming.records import ImageU8

FloatArray = NDArray[np.float64]

COLUMNS, ROWS = 6, 8  # squares
CELLS = 8  # of a square's side; a marker has 6 of them
SQUARE_MM = (4.0, 30.0)  # small ones for eye cameras, which see a hand's breadth at most
USUAL_SQUARE_MM, EYE_SQUARE_MM = 28.0, 6.0
MIN_CORNERS = 10  # of 35; fewer tell little of a view, and may be a false alarm
WINDOW = 0.2  # of a square's side, to each side of a corner
TOP_MM = 12.0
ADVICE = "Glue it onto something flat and stiff. Move it before the camera, tilted every way."


@dataclass(frozen=True, eq=False)
class BoardView:
    """The board in one picture."""

    points: FloatArray  # (N,2) px of the corners that are seen
    places: FloatArray  # (N,3) where they are on the board, in squares; z = 0
    size_px: tuple[int, int]  # of the picture: width, height


class BoardDetector:
    """Finds the board in pictures."""

    def __init__(self) -> None:
        """Prepare OpenCV's detector."""
        self._board = _board()
        parameters = cv2.aruco.DetectorParameters()
        parameters.adaptiveThreshWinSizeMax = 43  # large squares near the camera, too
        self._detector = cv2.aruco.CharucoDetector(
            self._board, cv2.aruco.CharucoParameters(), parameters
        )

    def find(self, image: ImageU8) -> BoardView | None:
        """The board in a picture (H,W,3) BGR or (H,W) grey; None when too little of it is seen."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        corners, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None or len(ids) < MIN_CORNERS:
            return None
        places = np.asarray(self._board.getChessboardCorners(), np.float64)[ids.ravel()]
        if min(np.ptp(places[:, :2], axis=0)) < 2:
            return None  # one row of corners tells no tilt
        points = _refined(np.asarray(grey, np.uint8), np.asarray(corners), places)
        return BoardView(points, places, (grey.shape[1], grey.shape[0]))


def _refined(grey: ImageU8, corners: NDArray[Any], places: FloatArray) -> FloatArray:
    """Corners (N,2) px, found once more: OpenCV's own (4.11) are half a pixel too far right, down.

    The window stays inside the four squares that meet at a corner, as small as they are here.
    """
    points = np.asarray(corners, np.float64).reshape(-1, 2)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    squares = np.linalg.norm(places[:, None] - places[None], axis=2)
    square_px = float(np.median(apart[np.isclose(squares, 1.0)])) if len(points) > 1 else 0.0
    reach = int(np.clip(WINDOW * square_px, 2, 10))
    enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    start = np.array(corners, np.float32).reshape(-1, 1, 2)
    found = cv2.cornerSubPix(grey, start, (reach, reach), (-1, -1), enough)
    return np.asarray(found, np.float64).reshape(-1, 2)


def board_sheet(square_mm: float) -> Sheet:
    """The board to print, with a ruler to check the size and one line of advice."""
    left = (PAGE_MM[0] - COLUMNS * square_mm) / 2
    cell = square_mm / CELLS
    boxes = [
        (left + x0 * cell, TOP_MM + y0 * cell, left + x1 * cell, TOP_MM + y1 * cell)
        for x0, y0, x1, y1 in dark_boxes(board_pattern())
    ]
    below = TOP_MM + ROWS * square_mm + 3 * TEXT_MM
    return with_ruler(boxes, cell, below, ADVICE, f"Squares of {square_mm:g} mm.")


def board_pattern() -> ImageU8:
    """(ROWS·CELLS, COLUMNS·CELLS) uint8, one pixel per cell: 0 black, 255 white."""
    drawn = _board().generateImage((COLUMNS * CELLS, ROWS * CELLS), marginSize=0)
    return np.asarray(drawn, np.uint8)


def dark_boxes(pattern: ImageU8) -> list[Box]:
    """Dark cells as few boxes (left, top, right, bottom), so that print shows no seams in them."""
    left_over = pattern == 0
    boxes: list[Box] = []
    for y, x in np.argwhere(left_over):
        if not left_over[y, x]:
            continue
        right = x + 1
        while right < pattern.shape[1] and left_over[y, right] and right - x < CELLS:
            right += 1
        low = y + 1
        while low < pattern.shape[0] and left_over[low, x:right].all() and low - y < CELLS:
            low += 1
        left_over[y:low, x:right] = False
        boxes.append((float(x), float(y), float(right), float(low)))
    return boxes


def _board() -> cv2.aruco.CharucoBoard:
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    return cv2.aruco.CharucoBoard((COLUMNS, ROWS), 1.0, 6 / CELLS, dictionary)
