"""The corners of a dark square on white to a fraction of a pixel: its four edges, intersected.

A side of the square is seen over its whole length, a corner in a few pixels only: lines through
the edges are several times more exact than what the corners' own surroundings tell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.warp import look_up

FloatArray = NDArray[np.float64]

ALONG = np.linspace(0.12, 0.88, 20)  # where along a side: away from the corners' rounding
STEP_PX = 0.5  # between samples across an edge
REACH_PX = (1.5, 4.0)  # across an edge, at least and at most
ROUNDS = 3
LEAST_CONTRAST = 8.0  # grey values; a flatter profile shows no edge


def refined_corners(grey: NDArray[np.uint8], quad: FloatArray, cell_px: float) -> FloatArray | None:
    """The corners (4,2) px of the square near `quad`; None where its edges are not seen.

    `cell_px` is how far the dark border inside and the white one outside reach.
    """
    reach = float(np.clip(0.8 * cell_px, *REACH_PX))
    across = np.arange(-reach, reach + STEP_PX / 2, STEP_PX)
    for _ in range(ROUNDS):
        found = _once(grey, quad, across)
        if found is None or np.linalg.norm(found - quad, axis=1).max() > 2 * reach:
            return None
        moved, quad = float(np.abs(found - quad).max()), found
        if moved < 0.01:
            break
    return quad


def _once(grey: NDArray[np.uint8], quad: FloatArray, across: FloatArray) -> FloatArray | None:
    sides = np.roll(quad, -1, axis=0) - quad
    # The corners run clockwise as seen, so this points outwards.
    normals = np.column_stack([sides[:, 1], -sides[:, 0]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    on_side = quad[:, None] + ALONG[None, :, None] * sides[:, None]  # (4,K,2)
    places = on_side[:, :, None] + across[None, None, :, None] * normals[:, None, None]
    flat = places.reshape(4, -1, 2).astype(np.float32)
    seen = look_up(grey, flat)
    brightens = np.diff(seen.reshape(4, len(ALONG), len(across)).astype(np.float64), axis=2)
    brightens = np.maximum(brightens, 0)
    contrast = brightens.sum(axis=2)
    middle = (across[1:] + across[:-1]) / 2
    offset = (brightens * middle).sum(axis=2) / np.maximum(contrast, 1e-9)
    seen_well = contrast > np.maximum(LEAST_CONTRAST, 0.5 * np.median(contrast, axis=1))[:, None]
    if (seen_well.sum(axis=1) < len(ALONG) // 2).any():
        return None
    start, slope = _lines(offset, seen_well.astype(np.float64))
    miss = np.abs(offset - start - slope * ALONG)
    usual = np.maximum(np.median(miss, axis=1, keepdims=True), 0.02)
    start, slope = _lines(offset, (seen_well & (miss <= 2.5 * usual)).astype(np.float64))
    first = quad + start * normals
    second = quad + sides + (start + slope) * normals
    one = np.ones((4, 1))
    lines = np.cross(np.hstack([first, one]), np.hstack([second, one]))
    corners = np.cross(np.roll(lines, 1, axis=0), lines)
    return np.asarray(corners[:, :2] / corners[:, 2:])


def _lines(offset: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted fits offset = start + slope * along, one for each side: (4,1) each."""
    weight = weight / weight.sum(axis=1, keepdims=True)
    middle = (weight * ALONG).sum(axis=1, keepdims=True)
    level = (weight * offset).sum(axis=1, keepdims=True)
    spread = (weight * (ALONG - middle) ** 2).sum(axis=1, keepdims=True)
    slope = (weight * (ALONG - middle) * offset).sum(axis=1, keepdims=True) / spread
    return level - slope * middle, slope
