"""Membrane interpolation: continue values harmonically from known pixels into a hole.

Solves Laplace's equation with the known pixels as boundary (Pérez, Gangnet, Blake: Poisson Image
Editing, 2003, eq. 4 with zero guidance) by a coarse-to-fine relaxation: each level starts from the
next coarser solution, so that a few sweeps per level suffice.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

COARSEST_PX = 4
_CROSS = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)


@dataclass(frozen=True)
class Sweeps:
    """Relaxations at the given resolution and at each coarser one; more come closer to harmonic."""

    finest: int
    coarse: int


THOROUGH = Sweeps(12, 24)  # for what is looked at
QUICK = Sweeps(2, 4)  # for what only has to be smooth


def extend(
    values: Float32Array, known: NDArray[np.bool_], sweeps: Sweeps = THOROUGH
) -> Float32Array:
    """Continue `values` (H,W,C) float32 from where `known` (H,W) is True into the rest.

    Known pixels are returned unchanged. Raises ValueError when nothing is known.
    """
    return Membrane(known).extend(values, sweeps)


class Membrane:
    """Where values are known, prepared for continuing several of them."""

    def __init__(self, known: NDArray[np.bool_]) -> None:
        """`known` (H,W) True where values are given; ValueError when that is nowhere."""
        if not known.any():
            raise ValueError("a membrane needs at least one known pixel, got none")
        self._levels = [_Level(known.astype(np.float32))]
        while min(self._levels[-1].weight.shape) > COARSEST_PX:
            self._levels.append(self._levels[-1].halved())

    def extend(self, values: Float32Array, sweeps: Sweeps = THOROUGH) -> Float32Array:
        """Continue `values` (H,W,C) float32 into what is not known; the rest is unchanged."""
        finest, coarsest = self._levels[0], self._levels[-1]
        weighted = [values * finest.weight[..., None]]
        for level in self._levels[1:]:
            weighted.append(level.shrunk(weighted[-1]))
        mean = weighted[-1].sum((0, 1)) / coarsest.weight.sum()
        solution = np.broadcast_to(mean, weighted[-1].shape).astype(np.float32)
        for level, given in zip(reversed(self._levels), reversed(weighted), strict=True):
            solution = level.relaxed(
                solution, given, sweeps.finest if level is finest else sweeps.coarse
            )
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
        for _ in range(sweeps):
            cv2.filter2D(solution, -1, _CROSS, other, borderType=cv2.BORDER_REPLICATE)
            cv2.copyTo(boundary, self._fixed, other)
            solution, other = other, solution
        return np.asarray(solution, np.float32).reshape(weighted.shape)
