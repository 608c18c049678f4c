"""A field's weights followed from frame to frame (Kalman 1960)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class FieldMemory:
    """What is known of K weights before the next frame is seen.

    They return to zero mean and their own variance, by `persistence` each frame (an autoregressive
    process of first order): after a while without news the past tells nothing.
    """

    def __init__(self, persistence: float) -> None:
        """`persistence` is the correlation of a weight with itself one frame later, 0..1."""
        self.persistence = persistence
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._known: tuple[Float64Array, Float64Array] | None = None

    def expected(self, variance: Float32Array) -> tuple[Float64Array, Float64Array]:
        """Mean (K,) and precision (K,K) of the next frame's weights; `variance` (K,) is theirs."""
        if self._known is None:
            return np.zeros(len(variance)), np.diag(1 / variance.astype(np.float64))
        mean, precision = self._known
        kept = self.persistence**2
        # The inverse of kept / precision + (1 - kept) * variance, in one solution instead of two.
        mixed = kept * np.eye(len(mean)) + precision * ((1 - kept) * variance)
        return self.persistence * mean, np.linalg.solve(mixed, precision)

    def keep(self, mean: Float64Array, precision: Float64Array) -> None:
        """Remember what a frame has told: (K,) and (K,K)."""
        self._known = mean, precision
