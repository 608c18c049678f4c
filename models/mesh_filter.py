"""Steadying a face mesh without holding it back: a One-Euro filter that moves as one head."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


class MeshFilter:
    """One-Euro filter (Casiez, Roussel, Vogel 2012) over all points of a mesh.

    The speed that opens the filter is that of the whole head in spans per second, so that a head
    in motion is followed at once and a still one does not tremble, at every distance alike.
    """

    def __init__(
        self, still_hz: float = 1.0, per_speed: float = 14.0, speed_hz: float = 10.0
    ) -> None:
        """`still_hz` is the cut-off at rest; it grows by `per_speed` Hz per span per second."""
        self._still_hz, self._per_speed, self._speed_hz = still_hz, per_speed, speed_hz
        self._time_ns = 0
        self._steady: Float32Array | None = None
        self._raw: Float32Array | None = None
        self._velocity = np.zeros(2, np.float32)

    def reset(self) -> None:
        """Forget: the next mesh is taken as it is."""
        self._steady = self._raw = None
        self._velocity = np.zeros(2, np.float32)

    def steady(self, mesh: Float32Array, span_px: float, time_ns: int) -> Float32Array:
        """The mesh (N,3) px with less trembling; `span_px` is the size that speeds are told in."""
        seconds = (time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        if self._steady is None or self._raw is None or seconds <= 0:
            self._steady = self._raw = mesh
            return mesh
        moved = (mesh[:, :2] - self._raw[:, :2]).mean(axis=0) / (max(span_px, 1.0) * seconds)
        self._velocity += _share(self._speed_hz, seconds) * (moved - self._velocity)
        self._raw = mesh
        # Parts of a face move on their own, a jaw for one: the farthest point's change counts too.
        change = np.linalg.norm(mesh[:, :2] - self._steady[:, :2], axis=1) / max(span_px, 1.0)
        cut_off = self._still_hz + self._per_speed * (
            float(np.linalg.norm(self._velocity)) + 10.0 * np.maximum(change - 0.02, 0)
        )
        share = _share(cut_off, seconds)[:, None]
        self._steady = (self._steady + share * (mesh - self._steady)).astype(np.float32)
        return self._steady


def _share(cut_off_hz: NDArray[np.float64] | float, seconds: float) -> NDArray[np.float64]:
    """How much of a change one step takes over."""
    turn = 2 * math.pi * np.asarray(cut_off_hz) * seconds
    return turn / (turn + 1)
