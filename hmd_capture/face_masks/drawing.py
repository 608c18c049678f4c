"""Draws a face mask over a face, in the pose and expression of its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from hmd_capture.face_masks import patterns
from hmd_capture.face_masks.cloth import Cloth, woven
from hmd_capture.face_masks.cut import Cut, cut_of
from hmd_capture.face_masks.patterns import Textures
from hmd_capture.face_masks.surface import COLUMNS, ROWS, Surface, fitted
from hmd_capture.head_pose import HeadPose, head_pose
from hmd_capture.headset_render import AMBIENT, DIFFUSE, TOWARDS_LIGHT, light_of

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

SUPERSAMPLING = 2  # of outlines; pictures are looked up at the frame's own scale
MOST_DRAWN_PX = 900  # longer side of a drawing: a face that fills the frame costs no more
MOST_LOOKED_UP_PX = 128  # of the map into the picture: it is smooth
EDGE_ON = 0.12  # a side of the head turned so far away: its straps are behind the face
SHIFT = 3  # fractional bits of cv2's coordinates


@dataclass(frozen=True)
class _Box:
    """Where a drawing lies in the frame, and its scale."""

    left: int
    top: int
    width: int
    height: int

    def own(self, points: FloatArray, scale: float) -> FloatArray:
        """Points of the frame as px of a drawing of this box at a scale."""
        return np.asarray((points - (self.left, self.top) + 0.5) * scale - 0.5)


@dataclass(frozen=True)
class _Worn:
    """A mask on one face, before it is coloured."""

    box: _Box
    grid: FloatArray  # (ROWS,COLUMNS,2) px of the frame
    light: FloatArray  # (ROWS,COLUMNS) brightness
    body: Float32Array  # (h,w) share of each pixel of the box that the mask covers
    band: Float32Array  # likewise its straps beside the mask


class FaceMask:
    """One face mask; the same kind, seed and split of textures draw the same one."""

    def __init__(
        self, kind: str | None = None, seed: int = 0, textures: Textures = "train"
    ) -> None:
        """Choose by kind, or by the seed alone if None.

        Raises:
            ValueError: there is no such kind.
        """
        self._seed, self._textures = patterns.FIRST_SEED[textures] + seed, textures
        self.cut: Cut = cut_of(kind, np.random.default_rng(self._seed))

    @cached_property
    def _cloth(self) -> Cloth:
        # Woven when it is first seen: holes are cut without.
        return woven(self.cut.kind, np.random.default_rng((self._seed, 1)), self._textures)

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        worn = self._worn(mesh, image.shape)
        if worn is None:
            return None
        box, body, band = worn.box, worn.body, worn.band
        light = light_of(image)
        colour = self._coloured(box, worn.grid, worn.light) * light
        mixed = colour * body[..., None] + self._cloth.strap * (0.85 * light) * band[..., None]
        alpha = np.asarray((body + band) * 255 + 0.5, np.uint8)
        limit = alpha[..., None].astype(np.float32)
        return Patch(box.left, box.top, np.minimum(mixed + 0.5, limit).astype(np.uint8), alpha)

    def hole(
        self, mesh: Float32Array, shape: tuple[int, int], *, straps: bool = True
    ) -> NDArray[np.uint8]:
        """(H,W) 1 = pixels of which `draw` would cover half or more, in an image of a shape.

        Without `straps` the mask alone counts.
        """
        hidden = np.zeros(shape, np.uint8)
        worn = self._worn(mesh, shape)
        if worn is not None:
            box = worn.box
            area = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
            hidden[area] = worn.body + straps * worn.band >= 0.5
        return hidden

    def _worn(self, mesh: Float32Array, shape: tuple[int, ...]) -> _Worn | None:
        """Where the mask lies on a (478,3) px mesh in an image of a shape; None = outside."""
        pose = head_pose(mesh)
        surface = fitted(self.cut, mesh, pose)
        grid = _in_frame(surface.grid, pose)
        straps = _shown_straps(surface, pose)
        box = _box_around(np.concatenate([grid.reshape(-1, 2), *straps]), shape)
        if box is None:
            return None
        body = _coverage(box, _shown_quads(grid))
        band = np.zeros_like(body)
        if straps:
            band = _lines(box, straps, self.cut.strap_width * pose.span_px) * (1 - body)
        return _Worn(box, grid, _lit(surface.grid, pose), body, band)

    def _coloured(self, box: _Box, grid: FloatArray, light: FloatArray) -> Float32Array:
        """The cloth's picture in the box, lit; right wherever the mask covers it."""
        scale = min(1.0, MOST_LOOKED_UP_PX / max(box.width, box.height))
        size = (max(2, round(box.width * scale)), max(2, round(box.height * scale)))
        found = _spread(box.own(grid, scale), light, size)
        found = np.asarray(cv2.resize(found, (box.width, box.height)), np.float32)
        shown_width = float(np.linalg.norm(grid[ROWS // 2, -1] - grid[ROWS // 2, 0]))
        picture = self._cloth.level_for(1.2 * shown_width)
        height, width = picture.shape[:2]
        x, y = found[..., 0] * (width - 1), found[..., 1] * (height - 1)
        looked_up = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(looked_up * found[..., 2:], np.float32)


def _in_frame(points: FloatArray, pose: HeadPose) -> FloatArray:
    """Points on the head in px of the frame (…,2); like the mesh, without perspective."""
    return np.asarray(pose.origin_px[:2] + pose.turned(points)[..., :2] * pose.span_px)


def _shown_straps(surface: Surface, pose: HeadPose) -> list[FloatArray]:
    shown = []
    for index, line in enumerate(surface.straps):
        outwards = np.array([-1.0 if index < 2 else 1.0, 0.0, 0.0])
        if pose.turned(outwards)[2] < EDGE_ON:
            shown.append(_in_frame(line, pose))
    return shown


def _box_around(points: FloatArray, shape: tuple[int, ...]) -> _Box | None:
    low = np.clip(np.floor(points.min(axis=0)) - 2, 0, shape[1::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 3, 0, shape[1::-1]).astype(int)
    if (high <= low).any():
        return None
    return _Box(int(low[0]), int(low[1]), *(int(v) for v in high - low))


def _shown_quads(grid: FloatArray) -> FloatArray:
    """Quads (Q,4,2) px of the grid that face the camera."""
    corners = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], axis=2)
    flat = corners.reshape(-1, 4, 2)
    one, other = flat[:, 2] - flat[:, 0], flat[:, 3] - flat[:, 1]
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return np.asarray(flat[area > 0])


def _coverage(box: _Box, quads: FloatArray) -> Float32Array:
    """Share 0..1 of each pixel of the box that quads cover."""
    scale = _scale(box)
    drawn = np.zeros((round(box.height * scale), round(box.width * scale)), np.uint8)
    for quad in _fixed(box.own(quads, scale)):
        cv2.fillConvexPoly(drawn, quad, (255.0,), shift=SHIFT)
    return _reduced(drawn, box)


def _lines(box: _Box, lines: list[FloatArray], width_px: float) -> Float32Array:
    scale = _scale(box)
    drawn = np.zeros((round(box.height * scale), round(box.width * scale)), np.uint8)
    thick = max(1, round(width_px * scale))
    points = [_fixed(box.own(_curved(line), scale)) for line in lines]
    cv2.polylines(drawn, points, False, (255.0,), thick, cv2.LINE_8, SHIFT)
    return _reduced(drawn, box)


def _curved(line: FloatArray) -> FloatArray:
    """A quadratic curve through the ends of three points, drawn to the middle one."""
    share = np.linspace(0, 1, 9)[:, None]
    start, middle, end = line
    return np.asarray((1 - share) ** 2 * start + 2 * share * (1 - share) * middle + share**2 * end)


def _reduced(drawn: ImageU8, box: _Box) -> Float32Array:
    small = cv2.resize(drawn, (box.width, box.height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255


def _scale(box: _Box) -> float:
    return min(SUPERSAMPLING, MOST_DRAWN_PX / max(box.width, box.height))


def _fixed(points: FloatArray) -> NDArray[np.int32]:
    return np.asarray(np.round(np.clip(points, -1e5, 1e5) * (1 << SHIFT)), np.int32)


def _lit(grid: FloatArray, pose: HeadPose) -> FloatArray:
    """(ROWS,COLUMNS) brightness of the surface in this pose."""
    down, across = np.gradient(grid, axis=(0, 1))
    normals = np.cross(down, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    facing = pose.turned(normals) @ TOWARDS_LIGHT
    return np.asarray(AMBIENT + 0.08 + DIFFUSE * np.maximum(facing, 0))


def _spread(grid: FloatArray, light: FloatArray, size: tuple[int, int]) -> Float32Array:
    """Place on the cloth (0..1 both ways) and light of every pixel, (H,W,3), also beside the mask.

    Each triangle of the grid gives its pixels; what none covers takes the nearest one's values.
    """
    width, height = size
    down, across = np.meshgrid(np.linspace(0, 1, ROWS), np.linspace(0, 1, COLUMNS), indexing="ij")
    values = np.stack([across, down, light], axis=-1).reshape(-1, 3)
    points = grid.reshape(-1, 2)
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    found = np.zeros((height, width, 3), np.float32)
    missing = np.full((height, width), 255, np.uint8)
    rows, columns, which, weights = _pixels_of(points[triangles], size)
    found[rows, columns] = np.einsum("mkc,mk->mc", values[triangles[which]], weights)
    missing[rows, columns] = 0
    if missing.any() and not missing.all():
        found = _filled(found, missing)
    return found


def _filled(found: Float32Array, missing: ImageU8) -> Float32Array:
    """`found` with missing pixels as their nearest known one."""
    _, labels = cv2.distanceTransformWithLabels(
        missing, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = missing == 0
    of_label = np.zeros((int(labels.max()) + 1, found.shape[2]), np.float32)
    of_label[labels[known]] = found[known]
    return np.asarray(of_label[labels])


def _pixels_of(
    corners: FloatArray, size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Float32Array]:
    """Row, column, triangle and corner weights (M,3) of the pixels that triangles (N,3,2) cover."""
    low = np.maximum(np.ceil(corners.min(1)), 0).astype(np.intp)
    high = np.minimum(np.floor(corners.max(1)), np.array(size) - 1).astype(np.intp)
    sides = np.maximum(high - low + 1, 0)
    to_b, to_c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0]
    counts = np.where(area > 1e-6, sides[:, 0] * sides[:, 1], 0)  # those that face the camera
    which = np.repeat(np.arange(len(corners)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within, np.maximum(sides[which, 0], 1))
    row, column = row + low[which, 1], column + low[which, 0]
    offset = np.stack([column, row], -1) - corners[which, 0]
    b = (offset[:, 0] * to_c[which, 1] - offset[:, 1] * to_c[which, 0]) / area[which]
    c = (offset[:, 1] * to_b[which, 0] - offset[:, 0] * to_b[which, 1]) / area[which]
    inside = (np.minimum(b, c) >= -1e-4) & (b + c <= 1 + 1e-4)
    weights = np.stack([1 - b - c, b, c], -1)[inside].astype(np.float32)
    return row[inside], column[inside], which[inside], weights
