"""Lids as a low-dimensional shape: how far each has gone from open to closed, along the eye.

An eye camera and the face mesh see the same lids from different places. Both are told in the eye's
own axes (corner to corner), and per lid a line says how far it has closed: the share at the middle
of the eye, and how much more at the image's right than at its left. Two numbers a lid are what
noisy contours carry, and they fit every camera and every mesh alike.
"""

from __future__ import annotations

import numpy as np

from edge.eyes.axes import EyeAxes
from streaming.records import Float32Array

POINTS = 9  # per lid, corner to corner
STATIONS = np.linspace(-0.5, 0.5, POINTS, dtype=np.float32)  # along the eye, eye widths
LINE = (2 * STATIONS).astype(np.float32)  # -1 at one corner, 1 at the other
# Where lids meet that were never seen closed: so much of the gap above the lower lid. Mean over
# the blinks of the training clips.
MEETING_SHARE = 0.22
# Wider open than usual is possible, further than closed hardly.
LEAST, MOST = -0.25, 1.05
MAX_SLOPE = 0.5
EASE_VARIANCE = 0.0004  # keeps the slope of a lid that hardly moves from being all noise


def lid_heights(lids: Float32Array, axes: EyeAxes | None = None) -> Float32Array:
    """(2,9) heights of upper and lower lid over the line of the corners, down is positive.

    Args:
        lids: (2,9,2) px, from the image's left to its right. Heights are in eye widths and stand
            at fixed places along the eye, wherever the points lie.
        axes: of the eye; None = as the lids' own ends say.
    """
    placed = (axes or EyeAxes.of_lids(lids)).coordinates(lids)
    heights = np.empty((2, POINTS), np.float32)
    for index, lid in enumerate(placed):
        order = np.argsort(lid[:, 0], kind="stable")
        heights[index] = np.interp(STATIONS, lid[order, 0], lid[order, 1])
    return heights


def closed_heights(opened: Float32Array) -> Float32Array:
    """(2,9) heights of closed lids for a wearer whose closed eyes were not seen."""
    upper, lower = opened
    meeting = lower - MEETING_SHARE * np.maximum(lower - upper, 0)
    return np.asarray(np.stack([meeting, meeting]), np.float32)


def closing_of(heights: Float32Array, opened: Float32Array, closed: Float32Array) -> Float32Array:
    """(2,2) per lid: how far it has closed in the middle, and the difference along the eye.

    The line that explains the heights (2,9) best, given those of the open and the closed eye;
    points that move most count most.
    """
    span = closed - opened
    moved = heights - opened
    lines = np.empty((2, 2), np.float32)
    for index in range(2):
        weight, way = span[index].astype(np.float64), moved[index].astype(np.float64)
        columns = np.stack([weight, weight * LINE], axis=1)
        normal = columns.T @ columns + np.diag([1e-9, EASE_VARIANCE * POINTS])
        lines[index] = np.linalg.solve(normal, columns.T @ way)
    lines[:, 0] = np.clip(lines[:, 0], LEAST, MOST)
    lines[:, 1] = np.clip(lines[:, 1], -MAX_SLOPE, MAX_SLOPE)
    return lines


def closing_along(lines: Float32Array) -> Float32Array:
    """(2,9) how far each lid point has closed: 0 = open, 1 = closed; from the lines (2,2)."""
    along = lines[:, :1] + lines[:, 1:] * LINE
    return np.asarray(np.clip(along, LEAST, MOST), np.float32)
