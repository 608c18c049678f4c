"""Finding one chosen ArUco or AprilTag marker, such as a sticker on the headset, in a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.marker.corners import refined_corners
from streaming.errors import UserError
from streaming.records import ImageU8

FloatArray = NDArray[np.float64]

DICTIONARIES = {  # family: what OpenCV calls it, cells along a side with the black border
    "aruco": (cv2.aruco.DICT_4X4_50, 6),
    "apriltag": (cv2.aruco.DICT_APRILTAG_36h11, 8),
}
LOOKED_AT_PX = 720  # longer parts of a frame are shrunk: corners are refined at full size anyway


@dataclass(frozen=True)
class MarkerChoice:
    """One marker of one family."""

    family: str  # a key of DICTIONARIES
    id: int

    @property
    def cells(self) -> int:
        """Cells along a side, the black border included."""
        return DICTIONARIES[self.family][1]

    @property
    def pattern(self) -> ImageU8:
        """(cells,cells) uint8, one pixel per cell: 0 black, 255 white."""
        drawn = cv2.aruco.generateImageMarker(_dictionary(self.family), self.id, self.cells)
        return np.asarray(drawn, np.uint8)


def read_marker(text: str) -> MarkerChoice | None:
    """The marker that a setting such as `aruco:7` names; None for the empty text.

    Raises:
        UserError: there is no such marker.
    """
    if not text:
        return None
    family, _, number = text.partition(":")
    if family not in DICTIONARIES or not (number.isascii() and number.isdigit()):
        raise UserError(
            f"There is no marker {text!r}.", "Use aruco:ID or apriltag:ID, for example aruco:7."
        )
    last = len(_dictionary(family).bytesList) - 1
    if int(number) > last:
        raise UserError(f"There is no marker {text!r}: the ids of {family} are 0 to {last}.")
    return MarkerChoice(family, int(number))


class MarkerDetector:
    """Finds every copy of one marker; other ids of the family are ignored."""

    def __init__(self, choice: MarkerChoice) -> None:
        """Look for `choice` only."""
        self._choice = choice
        parameters = cv2.aruco.DetectorParameters()
        # Corners are refined here, at the frame's full size.
        parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_NONE
        parameters.adaptiveThreshWinSizeStep = 20  # two windows, 3 and 23 px, instead of three
        self._detector = cv2.aruco.ArucoDetector(_dictionary(choice.family), parameters)

    def find(
        self, image: ImageU8, centre: FloatArray | None = None, reach_px: float = 0.0
    ) -> list[FloatArray]:
        """The corners (4,2) px of each copy, from the pattern's upper left clockwise.

        Looks at a frame (H,W,3), or only `reach_px` to each side of a `centre` (2,) px.
        """
        part, corner = (image, np.zeros(2)) if centre is None else _part(image, centre, reach_px)
        if min(part.shape[:2]) < 2 * self._choice.cells:
            return []
        grey = np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), np.uint8)
        share = min(1.0, LOOKED_AT_PX / max(grey.shape))
        small = grey
        if share < 1:
            small = np.asarray(
                cv2.resize(grey, None, fx=share, fy=share, interpolation=3), np.uint8
            )
        quads, ids, _ = self._detector.detectMarkers(small)
        if ids is None:
            return []
        wanted = [
            quad[0]
            for quad, number in zip(quads, ids.ravel(), strict=True)
            if number == self._choice.id
        ]
        return [
            self._refined(grey, (quad.astype(np.float64) + 0.5) / share - 0.5) + corner
            for quad in wanted
        ]

    def _refined(self, grey: ImageU8, quad: FloatArray) -> FloatArray:
        sides = np.linalg.norm(quad - np.roll(quad, 1, axis=0), axis=1)
        refined = refined_corners(grey, quad, float(sides.min()) / self._choice.cells)
        return quad if refined is None else refined


def _part(image: ImageU8, centre: FloatArray, reach_px: float) -> tuple[ImageU8, FloatArray]:
    """The square around a point as far as it lies in the frame, and its corner (2,) px."""
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(centre - reach_px), 0, limit).astype(int)
    high = np.clip(np.ceil(centre + reach_px) + 1, 0, limit).astype(int)
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)


def _dictionary(family: str) -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(DICTIONARIES[family][0])
