"""A camera's intrinsics: OpenCV's pinhole with radial and tangential distortion (Brown 1971)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.profile.parts import Part

FloatArray = NDArray[np.float64]

VERSION = 1
MAX_SIDE_PX = 1 << 16
SAME_SHAPE = 0.01  # by which two proportions of width and height may differ, relative
# Undistorting is iterative; this is far below a hundredth of a pixel.
_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)


@dataclass(frozen=True, eq=False)
class CalibratedLens:
    """How one camera maps directions to pixels at one picture size."""

    camera: str  # such as webcam:ID, or eye:left:SOURCE
    size_px: tuple[int, int]  # width, height
    matrix: FloatArray  # (3,3) px: focal lengths and principal point
    distortion: FloatArray  # (5,) k1 k2 p1 p2 k3
    rms_px: float  # how far seen corners were from where the lens puts them
    views: int  # pictures of the board that it was made of
    made: str = ""  # ISO 8601, UTC

    @property
    def focal_px(self) -> float:
        """Mean of the focal lengths across and down."""
        return float(self.matrix[0, 0] + self.matrix[1, 1]) / 2

    def rays(self, points_px: FloatArray) -> FloatArray:
        """Points (N,2) px -> rays (N,2), where they cross the plane one length away."""
        flat = np.ascontiguousarray(points_px, np.float64).reshape(-1, 1, 2)
        same = np.eye(3)  # neither turned nor put on another sensor
        found = cv2.undistortPointsIter(flat, self.matrix, self.distortion, same, same, _ENOUGH)
        return np.asarray(found.reshape(-1, 2))

    def pixels(self, rays: FloatArray) -> FloatArray:
        """Inverse of `rays`."""
        points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        still = np.zeros(3)
        seen, _ = cv2.projectPoints(points, still, still, self.matrix, self.distortion)
        return np.asarray(seen.reshape(-1, 2), np.float64)

    def at_shape(self, shape: tuple[int, ...]) -> CalibratedLens | None:
        """The lens for its pictures scaled to (H,W,…); None when they were cut differently."""
        width, height = self.size_px
        across, down = shape[1] / width, shape[0] / height
        if abs(across / down - 1) > SAME_SHAPE:
            return None
        # A pixel's number is that of its middle.
        scale = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
        size = (shape[1], shape[0])
        return CalibratedLens(
            self.camera,
            size,
            scale @ self.matrix,
            self.distortion,
            self.rms_px * across,
            self.views,
            self.made,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return {
            "version": VERSION,
            "camera": self.camera,
            "size_px": list(self.size_px),
            "matrix": self.matrix.tolist(),
            "distortion": self.distortion.tolist(),
            "rms_px": self.rms_px,
            "views": self.views,
            "made": self.made,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> CalibratedLens:
        """Inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: the document does not fit.
        """
        if tree["version"] != VERSION:
            raise ValueError(f"a lens of version {tree['version']}, not {VERSION}")
        width, height = (int(side) for side in tree["size_px"])
        matrix = np.array(tree["matrix"], np.float64)
        distortion = np.array(tree["distortion"], np.float64)
        if matrix.shape != (3, 3) or distortion.shape != (5,) or min(width, height) < 1:
            raise ValueError("a lens without size, matrix or distortion")
        if max(width, height) > MAX_SIDE_PX:
            raise ValueError("a lens of pictures too large for any camera")
        is_finite = np.isfinite(matrix).all() and np.isfinite(distortion).all()
        if not is_finite or min(matrix[0, 0], matrix[1, 1]) <= 0:
            raise ValueError("a lens with impossible numbers")
        return cls(
            str(tree["camera"]),
            (width, height),
            matrix,
            distortion,
            float(tree["rms_px"]),
            int(tree["views"]),
            str(tree["made"]),
        )

    def to_part(self) -> Part:
        """The part `camera` of a profile."""
        return Part(self.to_json(), version=VERSION)

    @classmethod
    def from_part(cls, part: Part) -> CalibratedLens:
        """Inverse of `to_part`; raises UnknownVersion or as `from_json` does."""
        part.require_version(VERSION)
        return cls.from_json(part.document)
