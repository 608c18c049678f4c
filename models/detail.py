"""A fill at the frame's resolution: the reference's own detail, with the fill's corrections.

The fill is computed at 128 or 256 px. Enlarged as it is, it would be a blurry patch in a larger
face. So the stored views are warped once more, by the same maps at the frame's resolution, and what
the fill changed (light, network, blending) is a low-resolution difference that is enlarged and
added: the split into detail and base of a Laplacian pyramid (Burt and Adelson 1983). In another
light than the views' the detail is as much stronger or weaker as the light: skin reflects a share
of it (a ratio image, Liu et al. 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bank.layers import Window, draw, draw_window
from models.preparation import Drawn

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

LIGHT_CELLS = 16  # across a crop, in which the light of fill and views is compared
LARGEST_GAIN = 3.0  # of the detail; very dark views hold noise rather than skin
SAME_LIGHT = 1.3  # ratios up to this come of what is shown, too: only what is beyond counts


@dataclass(frozen=True)
class Detail:
    """What a frame's fill was drawn from, to be drawn larger."""

    drawn: Drawn

    @property
    def is_finer(self) -> bool:
        """Whether any stored view has more pixels than the fill."""
        return any(len(layer.full) > len(self.drawn.image) for layer in self.drawn.layers)

    def enlarged(self, fill: ImageU8, side_px: int, window: Window) -> ImageU8:
        """A window (h,w,3) of `fill` (S,S,3) enlarged to (side_px,side_px), with the detail.

        Args:
            fill: the filled crop.
            side_px: side of the whole crop in the frame; at least S.
            window: rows and columns of it that are wanted.
        """
        size = len(fill)
        behind = self.drawn.behind
        stored = self._stored_views()
        gain = _gain(fill, stored if behind is None else behind.under(stored))
        relit = stored * enlarge(gain, size, (slice(0, size), slice(0, size)))[..., None]
        change = fill.astype(np.float32) - (relit if behind is None else behind.under(relit))
        pictures = [layer.full for layer in self.drawn.layers]
        drawn = draw_window(
            self.drawn.layers,
            pictures,
            lambda index, part: self._map(index, part, side_px),
            window,
            side_px / size,
            cv2.INTER_CUBIC,  # a windowed sinc is no better here, at four times the cost
        )
        detailed = drawn * enlarge(gain, side_px, window)[..., None]
        if behind is not None:
            share = enlarge(behind.share, side_px, window)[..., None]
            room = enlarge(behind.image.astype(np.float32), side_px, window)
            detailed = detailed + (room - detailed) * share
        corrected = detailed + enlarge(change, side_px, window)
        return np.clip(corrected + 0.5, 0, 255).astype(np.uint8)

    def _stored_views(self) -> ImageU8:
        """(S,S,3) the drawing from the views as they were stored, not continued."""
        layers = self.drawn.layers
        if all(layer.picture is layer.reference.image for layer in layers):
            return self.drawn.image
        stored = [layer.reference.image for layer in layers]
        return draw(layers, self.drawn.maps, stored, self.drawn.sharp)

    def _map(self, index: int, part: Window, side_px: int) -> Float32Array:
        """A layer's map at the frame's resolution, in px of its stored picture."""
        layer = self.drawn.layers[index]
        scale = np.float32(len(layer.full) / len(self.drawn.image))
        found = enlarge(self.drawn.maps[index], side_px, part)
        return np.asarray(found * scale + (scale - 1) / 2, np.float32)


def _gain(fill: ImageU8, drawn: ImageU8 | Float32Array) -> Float32Array:
    """(C,C) the detail's, by how much lighter or darker `fill` (S,S,3) is than what was drawn."""
    cells = (min(LIGHT_CELLS, len(fill)),) * 2
    shown, known = (
        cv2.resize(image, cells, interpolation=cv2.INTER_AREA).mean(2, dtype=np.float32) + 1
        for image in (fill, drawn)
    )
    ratio = np.clip(shown / known, 1 / LARGEST_GAIN, LARGEST_GAIN)
    return np.asarray(ratio / np.clip(ratio, 1 / SAME_LIGHT, SAME_LIGHT), np.float32)


def enlarge(values: Float32Array, side_px: int, window: Window) -> Float32Array:
    """A window of (S,S,C) enlarged to (side_px,side_px), bilinear, by pixel centres."""
    scale = len(values) / side_px
    rows, columns = window
    offset = [(part.start + 0.5) * scale - 0.5 for part in (columns, rows)]
    back = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]], np.float32)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    found = cv2.warpAffine(values, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)
