"""An eye's own axes in a picture: lengths and directions that no camera's place changes.

The origin is the middle between the eye's corners, one unit is their distance, x runs along the
eye to the image's right and y across it, down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.records import Float32Array

# An eye camera sits on the head: corners that move between its images are mostly misread. They
# follow what is seen by this time constant, so that a headset that slips is followed too.
STEADY_S = 2.5
SLIPPED = 0.35  # eye widths: corners this far off are those of a headset put on anew
MIN_WIDTH_PX = 1e-3


@dataclass(frozen=True)
class EyeAxes:
    """Where an eye's corners are, as axes."""

    origin: Float32Array  # (2,) px
    along: Float32Array  # (2,) unit length
    width: float  # px

    @classmethod
    def of_corners(cls, first: Float32Array, last: Float32Array) -> EyeAxes:
        """From the corners (2,) px, the image's left one first."""
        chord = last - first
        width = max(float(np.linalg.norm(chord)), MIN_WIDTH_PX)
        along = np.asarray(chord / np.float32(width), np.float32)
        return cls(np.asarray((first + last) / 2, np.float32), along, width)

    @classmethod
    def of_lids(cls, lids: Float32Array) -> EyeAxes:
        """From lids (2,9,2) px, both of which end in the corners."""
        return cls.of_corners(*corners(lids))

    @property
    def across(self) -> Float32Array:
        """(2,) unit length, down."""
        return np.array([-self.along[1], self.along[0]], np.float32)

    def coordinates(self, points: Float32Array) -> Float32Array:
        """Points (…,2) px in these axes."""
        offset = points - self.origin
        placed = np.stack([offset @ self.along, offset @ self.across], -1)
        return np.asarray(placed / np.float32(self.width), np.float32)


class SteadyCorners:
    """Follows the corners of one eye in the images of its camera."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._corners: Float32Array | None = None
        self._seen_s = 0.0
        self._time_ns = 0

    def follow(self, lids: Float32Array, time_ns: int) -> EyeAxes:
        """Take one image's lids (2,9,2) px; returns axes that hardly tremble."""
        seen = corners(lids)
        width = float(np.linalg.norm(seen[1] - seen[0]))
        seconds = max(0.0, (time_ns - self._time_ns) / 1e9)
        self._time_ns = time_ns
        steady = self._corners
        if steady is None or np.linalg.norm(seen - steady, axis=1).min() > SLIPPED * width:
            self._corners, self._seen_s = seen, 0.0
        else:
            # At first a mean of all that was seen, later one of the last seconds.
            self._seen_s = min(STEADY_S, self._seen_s + seconds)
            share = min(1.0, seconds / max(self._seen_s, 1e-6))
            self._corners = np.asarray(steady + np.float32(share) * (seen - steady), np.float32)
        return EyeAxes.of_corners(*self._corners)


def corners(lids: Float32Array) -> Float32Array:
    """(2,2) px: the eye's corner at the image's left and the one at its right."""
    return np.asarray(lids[:, [0, -1]].mean(axis=0), np.float32)
