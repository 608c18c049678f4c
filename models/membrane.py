"""Membrane interpolation: continue values harmonically from known pixels into a hole.

Solves Laplace's equation with the known pixels as boundary (Pérez, Gangnet, Blake: Poisson Image
Editing, 2003, eq. 4 with zero guidance) by a coarse-to-fine relaxation: each level starts from the
next coarser solution, and a few sweeps take away what that cannot know. Their lengths differ as
Chebyshev's polynomials say (Golub and Varga 1961), which leaves about half the error that as many
alike leave, less where the values are smoother.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

COARSEST_PX = 4
# At the given resolution, and at each coarser one, even; more gain nothing on the val clips.
FINEST_SWEEPS, COARSE_SWEEPS = 4, 8


def extend(values: Float32Array, known: NDArray[np.bool_]) -> Float32Array:
    """Continue `values` (H,W,C) float32 from where `known` (H,W) is True into the rest.

    Known pixels are returned unchanged. Raises ValueError when nothing is known.
    """
    return Membrane(known).extend(values)


class Membrane:
    """Where values are known, prepared for continuing several of them."""

    def __init__(self, known: NDArray[np.bool_]) -> None:
        """`known` (H,W) True where values are given; ValueError when that is nowhere."""
        if not known.any():
            raise ValueError("a membrane needs at least one known pixel, got none")
        self._levels = [_Level(known.astype(np.float32))]
        while min(self._levels[-1].weight.shape) > COARSEST_PX:
            self._levels.append(self._levels[-1].halved())

    def extend(self, values: Float32Array) -> Float32Array:
        """Continue `values` (H,W,C) float32 into what is not known; the rest is unchanged."""
        finest, coarsest = self._levels[0], self._levels[-1]
        weighted = [values * finest.weight[..., None]]
        for level in self._levels[1:]:
            weighted.append(level.shrunk(weighted[-1]))
        mean = weighted[-1].sum((0, 1)) / coarsest.weight.sum()
        solution = np.broadcast_to(mean, weighted[-1].shape).astype(np.float32)
        for level, given in zip(reversed(self._levels), reversed(weighted), strict=True):
            sweeps = FINEST_SWEEPS if level is finest else COARSE_SWEEPS
            solution = level.relaxed(solution, given, sweeps)
        return solution


class _Level:
    """One resolution: how much of each cell is known."""

    def __init__(self, weight: Float32Array) -> None:
        self.weight = weight
        self._fixed = (weight > 0).astype(np.uint8)
        self._divisor = np.maximum(weight, 1e-6)[..., None]

    def halved(self) -> _Level:
        height, width = self.weight.shape
        size = ((width + 1) // 2, (height + 1) // 2)
        weight = cv2.resize(self.weight, size, interpolation=cv2.INTER_AREA)
        return _Level(np.asarray(weight, np.float32))

    def shrunk(self, weighted: Float32Array) -> Float32Array:
        """Weighted values of the next finer level at this one's resolution."""
        height, width = self.weight.shape
        shrunk = cv2.resize(weighted, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.float32).reshape(height, width, -1)

    def relaxed(self, start: Float32Array, weighted: Float32Array, sweeps: int) -> Float32Array:
        """From the next coarser solution to this level's."""
        height, width = self.weight.shape
        solution = cv2.resize(start, (width, height))
        boundary = (weighted / self._divisor).reshape(solution.shape)
        cv2.copyTo(boundary, self._fixed, solution)
        other = np.empty_like(solution)
        for kernel in _kernels(sweeps):
            cv2.filter2D(solution, -1, kernel, other, borderType=cv2.BORDER_REPLICATE)
            cv2.copyTo(boundary, self._fixed, other)
            solution, other = other, solution
        return np.asarray(solution, np.float32).reshape(weighted.shape)


@lru_cache(maxsize=4)
def _kernels(sweeps: int) -> tuple[Float32Array, ...]:
    """One step each towards the mean of the four neighbours, some shorter, some beyond it.

    Errors are waves, and a step of length w multiplies each by 1 - w·e, e in 0..2 and small where
    the wave is long. The steps together damp all from e = 1/sweeps² on alike; longer waves are the
    coarser levels' business.
    """
    longest = 1 / sweeps**2
    middle, reach = (2 + longest) / 2, (2 - longest) / 2
    angles = (math.pi * (k + 0.5) / sweeps for k in range(sweeps))
    lengths = sorted(1 / (middle + reach * math.cos(angle)) for angle in angles)
    short, long = lengths[: sweeps // 2], lengths[sweeps // 2 :]
    # Long steps magnify short waves: short steps come between.
    mixed = (pair for pairs in zip(reversed(short), long, strict=True) for pair in pairs)
    return tuple(_step(length) for length in mixed)


def _step(length: float) -> Float32Array:
    side, centre = length / 4, 1 - length
    return np.array([[0, side, 0], [side, centre, side], [0, side, 0]], np.float32)
