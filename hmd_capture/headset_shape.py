"""The surface of a procedural headset: a rounded, lofted body with straps, as quads.

All lengths are in spans on the head, see `hmd_capture.head_pose`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmd_capture.headset_outline import OUTLINE_POINTS, outline
from hmd_capture.headset_style import Colour, HeadsetStyle

FloatArray = NDArray[np.float64]

HALF_FACE_WIDTHS = (0.68, 0.88)  # heads differ by less; the rest are meshes gone wrong
FRONT_WIDTH, FRONT_HEIGHT = 0.90, 0.85  # of the body: the front is nearer and looks larger


@dataclass(frozen=True)
class Quads:
    """Flat pieces of surface, to be drawn in this order."""

    corners: FloatArray  # (Q,4,3)
    normals: FloatArray  # (Q,3) unit length, outwards
    middles: FloatArray  # (Q,3)
    colours: FloatArray  # (Q,3) BGR as lit from straight ahead


@dataclass(frozen=True)
class HeadsetShape:
    """A style fitted to one face's width."""

    straps: Quads
    body: Quads
    body_points: FloatArray  # (N,3): their hull in the image is the body's silhouette
    front_points: FloatArray  # (M,3): the same for its front
    front_corners: FloatArray  # (4,3) where the front picture's corners are


def fitted(style: HeadsetStyle, half_face_width: float) -> HeadsetShape:
    """Build the shape for a face of this half width in spans."""
    half_width = style.widening * float(np.clip(half_face_width, *HALF_FACE_WIDTHS))
    rings = _rings(style, half_width)
    surfaces = (style.foam, style.foam, style.body, style.plate)
    body = [
        _strip(_closed(rings[index : index + 2]), colour) for index, colour in enumerate(surfaces)
    ]
    extent = np.array([FRONT_WIDTH * half_width, FRONT_HEIGHT * style.half_height])
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    front = np.array([(x * extent[0], y * extent[1] + 0.03, -style.front) for x, y in corners])
    straps = [_strip(band, style.strap) for band in _bands(style, half_width)]
    return HeadsetShape(_joined(straps), _joined(body), rings.reshape(-1, 3), rings[-1], front)


def _rings(style: HeadsetStyle, half_width: float) -> FloatArray:
    """Outlines of the body from the face to the front, (5,N,3)."""
    #        across, height, depth in the middle, how far the sides wrap back
    sections = [
        (0.97, 0.96, 0.02, style.wrap + 0.08),
        (0.95, 0.94, -0.22, style.wrap),
        (1.00, 1.00, -0.25, style.wrap - 0.02),
        (0.96, 0.94, 0.10 - style.front, 0.16),
        (FRONT_WIDTH, FRONT_HEIGHT, -style.front, 0.07),
    ]
    line = outline(style.squareness)
    rings = np.empty((len(sections), OUTLINE_POINTS, 3))
    for ring, (across, height, depth, wrap) in zip(rings, sections, strict=True):
        ring[:, 0] = line[:, 0] * across * half_width
        ring[:, 1] = line[:, 1] * height * style.half_height + 0.03
        ring[:, 2] = depth + wrap * line[:, 0] ** 2
    return rings


def _bands(style: HeadsetStyle, half_width: float) -> list[FloatArray]:
    """Straps, (2,K,3) each: their two edges, from the body to the back of the head."""
    out, back = 1.08 * half_width, np.array([0.0, 0.35, 0.75, 1.1, 1.5, 1.75, 1.85])
    across = np.array([0.93 * half_width, 0.99 * out, out, 0.97 * out, 0.75 * out, 0.3 * out, 0.0])
    rise = -0.05 - 0.10 * back  # the strap climbs towards the back of the head
    half = np.linspace(0.17, 0.12, len(back))
    bands = []
    for side in (-1.0, 1.0):
        upper = np.stack([side * across, rise - half, back], axis=1)
        lower = np.stack([side * across, rise + half, back], axis=1)
        # The order of the two edges decides which side of the strip is the outer one.
        bands.append(np.stack([lower, upper] if side < 0 else [upper, lower]))
    if style.has_top_strap:
        height = -style.half_height
        path = [(height * 0.9, -0.3), (height - 0.2, -0.12), (-1.12, 0.2), (-1.27, 0.7)]
        arc = np.array([*path, (-1.2, 1.2), (-0.9, 1.6)])
        bands.append(np.stack([np.insert(arc, 0, x, axis=1) for x in (-0.13, 0.13)]))
    return bands


def _strip(edges: FloatArray, colour: Colour) -> Quads:
    """The quads between two lines (2,K,3)."""
    first, second = edges
    corners = np.stack([first[:-1], first[1:], second[1:], second[:-1]], axis=1)
    normals = np.cross(second[1:] - first[:-1], first[1:] - second[:-1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    colours = np.broadcast_to(np.asarray(colour), normals.shape)
    return Quads(corners, normals, corners.mean(axis=1), colours)


def _closed(lines: FloatArray) -> FloatArray:
    return np.concatenate([lines, lines[:, :1]], axis=1)


def _joined(parts: list[Quads]) -> Quads:
    return Quads(
        corners=np.concatenate([part.corners for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        middles=np.concatenate([part.middles for part in parts]),
        colours=np.concatenate([part.colours for part in parts]),
    )
