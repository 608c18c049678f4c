"""The gain between views and frames, followed from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Chosen on val clips.
SMALLEST_STEP = 0.15  # of a change that is taken over at once, however small
SWITCHED = 0.05  # change of the logarithm that is taken over by half at once: a lamp


class ExposureMemory:
    """Follows three logarithms of gain."""

    def __init__(self) -> None:
        """Begin without a past."""
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._gain: Float32Array | None = None

    def step(self, gain: Float32Array) -> Float32Array:
        """The next frame's `gain` (3,), steadier."""
        before = gain if self._gain is None else self._gain
        change = gain - before
        share = change**2 / (change**2 + SWITCHED**2)
        self._gain = before + (SMALLEST_STEP + (1 - SMALLEST_STEP) * share) * change
        return self._gain
