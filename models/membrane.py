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
    if not known.any():
        raise ValueError("membrane.extend needs at least one known pixel, got none")
    levels = [_Level(values * known[..., None], known.astype(np.float32))]
    while min(levels[-1].weight.shape) > COARSEST_PX:
        levels.append(levels[-1].halved())
    coarsest = levels[-1]
    mean = coarsest.weighted.sum((0, 1)) / coarsest.weight.sum()
    solution = np.broadcast_to(mean, coarsest.weighted.shape).astype(np.float32)
    for level in reversed(levels):
        solution = level.relax(solution, sweeps.finest if level is levels[0] else sweeps.coarse)
    return solution


class _Level:
    """One resolution: values weighted by how much of each cell is known."""

    def __init__(self, weighted: Float32Array, weight: Float32Array) -> None:
        self.weighted, self.weight = weighted, weight

    def halved(self) -> _Level:
        height, width = self.weight.shape
        size = ((width + 1) // 2, (height + 1) // 2)
        weighted = cv2.resize(self.weighted, size, interpolation=cv2.INTER_AREA)
        weight = cv2.resize(self.weight, size, interpolation=cv2.INTER_AREA)
        return _Level(
            np.asarray(weighted, np.float32).reshape(*size[::-1], -1),
            np.asarray(weight, np.float32),
        )

    def relax(self, start: Float32Array, sweeps: int) -> Float32Array:
        height, width = self.weight.shape
        solution = cv2.resize(start, (width, height)).reshape(self.weighted.shape)
        fixed = (self.weight > 0).astype(np.uint8)
        boundary = self.weighted / np.maximum(self.weight, 1e-6)[..., None]
        cv2.copyTo(boundary, fixed, solution)
        for _ in range(sweeps):
            swept = cv2.filter2D(solution, -1, _CROSS, borderType=cv2.BORDER_REPLICATE)
            solution = cv2.copyTo(boundary, fixed, swept.reshape(boundary.shape))
        return np.asarray(solution, np.float32).reshape(self.weighted.shape)
