"""Drawing a mix of views: layer over layer, each warped by its own map.

The same layers are drawn at the fill's resolution and, for `models.detail`, at the frame's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models import warp
from models.bank.mouth import LIPS, MOUTH_CORNERS
from models.face.mesh import EyePoints
from models.face.raster import FaceRaster
from models.reference import Reference

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Window = tuple[slice, slice]  # rows, columns

# Radii of what comes with an eye, in widths of the eye: whole at half of them, nothing beyond.
EYE_RADII = (1.1, 0.9)
MOUTH_RADII = (0.95, 0.75)  # likewise with a mouth, in widths of the mouth: lips and what they move


@dataclass(frozen=True)
class Ellipse:
    """Where a layer shows: wholly at the centre, less and less outwards."""

    centre: tuple[float, float]  # x, y px
    radii: tuple[float, float]  # px, beyond which it does not show

    def scaled(self, scale: float) -> Ellipse:
        """The same in an image `scale` times as large, by pixel centres."""
        x, y = ((value + 0.5) * scale - 0.5 for value in self.centre)
        return Ellipse((x, y), (self.radii[0] * scale, self.radii[1] * scale))

    def window(self, within: Window) -> Window:
        """Rows and columns of the image that it touches, inside `within`; may be empty."""
        spans = []
        for part, centre, radius in zip(within, self.centre[::-1], self.radii[::-1], strict=True):
            start = min(max(int(centre - radius), part.start), part.stop)
            spans.append(slice(start, max(start, min(int(centre + radius) + 2, part.stop))))
        return spans[0], spans[1]

    def alpha(self, window: Window) -> Float32Array:
        """How much it shows in a window, (h,w) float32 in 0..1."""
        rows, columns = window
        down = (np.arange(rows.start, rows.stop) - self.centre[1]) / max(self.radii[1], 1e-3)
        across = (np.arange(columns.start, columns.stop) - self.centre[0]) / max(
            self.radii[0], 1e-3
        )
        distance = np.sqrt(down[:, None] ** 2 + across[None] ** 2)
        return np.clip(2 - 2 * distance, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Layer:
    """One view over the layers below it."""

    reference: Reference  # at the fill's size
    full: ImageU8  # (R,R,3) the same picture as it was stored
    picture: ImageU8  # (S,S,3) what is drawn at the fill's size: the reference or its continuation
    share: float = 1.0  # of this layer; the lowest has 1
    where: Ellipse | None = None  # None = everywhere


@dataclass(frozen=True)
class Mixture:
    """What one frame's reference is drawn from."""

    layers: tuple[Layer, ...]  # lowest first
    pose_change: Float32Array  # (P,) from the mixed views to the frame, for the registration


def window_around(hidden: NDArray[np.uint8]) -> Window:
    """Rows and columns of the hole (S,S) and a rim of one known pixel where there is one."""
    left, top, width, height = cv2.boundingRect(hidden)
    bottom, right = top + height + 1, left + width + 1
    rows = slice(max(top - 1, 0), min(bottom, hidden.shape[0]))
    return rows, slice(max(left - 1, 0), min(right, hidden.shape[1]))


def around_eye(mesh: Float32Array, eye: EyePoints) -> Ellipse:
    """What is taken along with an eye of `mesh` (478,3) px: the lids and some skin."""
    lids = mesh[[*eye.upper_lid, *eye.lower_lid], :2]
    width = float(np.ptp(lids[:, 0]))
    x, y = (float(value) for value in lids.mean(0))
    return Ellipse((x, y), (EYE_RADII[0] * width, EYE_RADII[1] * width))


def around_mouth(mesh: Float32Array) -> Ellipse:
    """What is taken along with the mouth of `mesh` (478,3) px: the lips and the skin they move."""
    left, right = mesh[list(MOUTH_CORNERS), :2]
    width = float(np.linalg.norm(right - left))
    x, y = (float(value) for value in mesh[list(LIPS), :2].mean(0))
    return Ellipse((x, y), (MOUTH_RADII[0] * width, MOUTH_RADII[1] * width))


def backward_maps(
    layers: Sequence[Layer], mesh: Float32Array, raster: FaceRaster
) -> list[Float32Array]:
    """One map (S,S,2) per layer, see `warp.backward_map`; a view in two layers is mapped once."""
    meshes = {id(layer.reference): layer.reference.mesh for layer in layers}
    maps = warp.backward_maps(mesh, list(meshes.values()), raster)
    found = dict(zip(meshes, maps, strict=True))
    return [found[id(layer.reference)] for layer in layers]


def draw(
    layers: Sequence[Layer],
    maps: Sequence[Float32Array],
    pictures: Sequence[ImageU8] | None = None,
    sharp: Window | None = None,
) -> ImageU8:
    """The layers at the fill's size, (S,S,3) uint8; `maps` are theirs, (S,S,2) px.

    `pictures` (S,S,3) replace those of the layers. The window `sharp` is what will be seen: there
    the views keep their own sharpness, by windowed sinc functions (Duchon 1979) instead of
    bilinear ones.
    """
    whole = (slice(0, len(maps[0])), slice(0, len(maps[0])))
    pictures = pictures or [layer.picture for layer in layers]

    def map_of(index: int, part: Window) -> Float32Array:
        return maps[index][part]

    drawn = draw_window(layers, pictures, map_of, whole)
    if sharp is not None:
        shown = draw_window(layers, pictures, map_of, sharp, interpolation=cv2.INTER_LANCZOS4)
        drawn[sharp] = shown
    return drawn


def draw_window(
    layers: Sequence[Layer],
    pictures: Sequence[ImageU8],
    map_of: Callable[[int, Window], Float32Array],
    window: Window,
    scale: float = 1.0,
    interpolation: int = cv2.INTER_LINEAR,
) -> ImageU8:
    """The layers in a window (h,w) of an image `scale` times as large as the fill.

    `pictures` are those of the layers, in the unit of the maps (h,w,2) that `map_of` returns for a
    layer's index and a part of the window. `interpolation` is OpenCV's.
    """
    drawn = warp.look_up(pictures[0], map_of(0, window), interpolation)
    for index in range(1, len(layers)):
        where, share = layers[index].where, layers[index].share
        part = window if where is None else where.scaled(scale).window(window)
        if part[0].start >= part[0].stop or part[1].start >= part[1].stop:
            continue
        above = warp.look_up(pictures[index], map_of(index, part), interpolation)
        below = drawn[_inside(part[0], window[0]), _inside(part[1], window[1])]
        if where is None:
            cv2.addWeighted(above, share, below, 1 - share, 0, dst=drawn)
        else:
            alpha = where.scaled(scale).alpha(part)[..., None] * np.float32(share)
            mixed = below + (above - below.astype(np.float32)) * alpha
            below[:] = (mixed + np.float32(0.5)).astype(np.uint8)
    return drawn


def _inside(part: slice, window: slice) -> slice:
    return slice(part.start - window.start, part.stop - window.start)
