"""A drawing that becomes part of a frame: colour and coverage, antialiased.

Everything is drawn larger, without antialiasing, and then reduced: reducing antialiases all edges
at once and leaves no seams between neighbouring faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

SUPERSAMPLING = 2.0
MAX_DRAWN_PX = 720  # the drawing's longer side: a head that fills an 8K frame costs no more
SHIFT = 3  # fractional bits of cv2's polygon coordinates
COORDINATE_LIMIT = 1 << 20  # keeps shifted coordinates inside 32 bits


@dataclass(frozen=True)
class Patch:
    """Part of a frame that is covered, and with what."""

    left: int  # px of the frame
    top: int
    colour: ImageU8  # (h,w,3) BGR times coverage
    alpha: ImageU8  # (h,w) coverage, 0..255


class Canvas:
    """Collects polygons and pictures given in px of the frame."""

    def __init__(self, left: int, top: int, right: int, bottom: int) -> None:
        """Cover the frame from (left, top) to (right, bottom), the latter not included."""
        self._left, self._top = left, top
        self._size = (right - left, bottom - top)
        self._scale = min(SUPERSAMPLING, MAX_DRAWN_PX / max(self._size))
        width, height = (max(1, round(side * self._scale)) for side in self._size)
        self._stretch = np.array([width / self._size[0], height / self._size[1]])
        self._drawn = np.zeros((height, width, 4), np.uint8)

    @classmethod
    def over(cls, points_px: FloatArray, frame_shape: tuple[int, ...]) -> Canvas | None:
        """Return a canvas around (N,2) points, cut to the frame; None if nothing is left."""
        low = np.floor(points_px.min(axis=0)) - 1
        high = np.ceil(points_px.max(axis=0)) + 2
        left, top = (int(value) for value in np.clip(low, 0, frame_shape[1::-1]))
        right, bottom = (int(value) for value in np.clip(high, 0, frame_shape[1::-1]))
        if right <= left or bottom <= top:
            return None
        return cls(left, top, right, bottom)

    def polygon(self, points_px: FloatArray, colour: Sequence[float]) -> None:
        """Fill a convex polygon, (N,2) px of the frame, with a BGR colour."""
        cv2.fillConvexPoly(self._drawn, self._fixed(points_px), (*colour, 255.0), shift=SHIFT)

    def quads(self, corners_px: FloatArray, colours: FloatArray) -> None:
        """Fill (Q,4,2) px quads in order, with (Q,3) BGR; NaN leaves one out."""
        shown = np.isfinite(colours[:, 0])
        points = self._fixed(corners_px[shown])
        for quad, colour in zip(points, colours[shown].tolist(), strict=True):
            cv2.fillConvexPoly(self._drawn, quad, (*colour, 255.0), shift=SHIFT)

    def picture(self, levels: Sequence[ImageU8], corners_px: FloatArray, light: float) -> None:
        """Lay a BGRA picture, given in several sizes, between four corners (4,2) px."""
        corners = self._own(corners_px)
        wide = float(np.linalg.norm(corners[1] - corners[0]))
        fitting = [level for level in levels if level.shape[1] >= wide]
        picture = fitting[-1] if fitting else levels[0]
        height, width = picture.shape[:2]
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        drawn_from_picture = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
        limits = self._drawn.shape[1::-1]
        left, top = (int(v) for v in np.clip(np.floor(corners.min(axis=0)), 0, limits))
        right, bottom = (int(v) for v in np.clip(np.ceil(corners.max(axis=0)) + 1, 0, limits))
        if right <= left or bottom <= top:
            return
        part_from_drawn = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
        laid = cv2.warpPerspective(
            picture, part_from_drawn @ drawn_from_picture, (right - left, bottom - top)
        )
        covered = cv2.threshold(cv2.extractChannel(laid, 3), 127, 255, cv2.THRESH_BINARY)[1]
        lit = cv2.convertScaleAbs(laid, alpha=light)
        cv2.insertChannel(covered, lit, 3)
        cv2.copyTo(lit, covered, self._drawn[top:bottom, left:right])

    def reduced(self, light: float) -> Patch:
        """Return what was drawn, at the frame's scale, its colours times `light`."""
        how = cv2.INTER_AREA if self._scale > 1 else cv2.INTER_LINEAR
        small = cv2.resize(self._drawn, self._size, interpolation=how)
        colour = cv2.convertScaleAbs(cv2.cvtColor(small, cv2.COLOR_BGRA2BGR), alpha=light)
        alpha = cv2.extractChannel(small, 3)
        return Patch(
            self._left, self._top, np.asarray(colour, np.uint8), np.asarray(alpha, np.uint8)
        )

    def _own(self, points_px: FloatArray) -> FloatArray:
        # Pixel centres are whole numbers on both sides.
        return np.asarray((points_px - (self._left, self._top) + 0.5) * self._stretch - 0.5)

    def _fixed(self, points_px: FloatArray) -> NDArray[np.int32]:
        own = np.clip(self._own(points_px), -COORDINATE_LIMIT, COORDINATE_LIMIT)
        return np.asarray(np.round(own * (1 << SHIFT)), np.int32)
