"""The room behind the wearer where the headset hides it: a plate of the background, and the matte.

A view's matte says which of its pixels are the person. Warped with the view it says where a frame's
hidden pixels show the head and where the room behind it; there a plate of the room, where it is
known, takes the place of what the view had in its background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import warp
from models.bank.layers import Layer

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class PlateCrop:
    """The room as one crop shows it."""

    image: ImageU8  # (S,S,3) uint8 BGR, in the light of this frame
    known: Float32Array  # (S,S) 0..1, how far to trust it

    def share(self, matte: Float32Array) -> Float32Array:
        """(S,S,1) 0..1 of the plate beside what `matte` (S,S), 1 = person, leaves of it."""
        return np.asarray((self.known * (1 - matte))[..., None], np.float32)


@dataclass(frozen=True)
class Behind:
    """What of the room was drawn behind the views, so that it can be drawn larger."""

    image: ImageU8  # (S,S,3)
    share: Float32Array  # (S,S,1) 0..1

    def under(self, picture: NDArray[np.uint8] | Float32Array) -> Float32Array:
        """`picture` (S,S,3) with the room where it belongs, float32."""
        changed = picture + (self.image - picture.astype(np.float32)) * self.share
        return np.asarray(changed, np.float32)


def draw_matte(layers: Sequence[Layer], maps: Sequence[Float32Array]) -> Float32Array | None:
    """The views' mattes as the layers mix them, (S,S) 0..1, 1 = person; None when one has none.

    `maps` are the layers', (S,S,2) px. Eyes laid over a view belong to the person anyway.
    """
    matte: Float32Array | None = None
    for layer, to_view in zip(layers, maps, strict=True):
        if layer.where is not None:
            continue
        if layer.reference.matte is None:
            return None
        own = warp.look_up(layer.reference.matte, to_view).astype(np.float32) * np.float32(1 / 255)
        matte = own if matte is None else matte + (own - matte) * np.float32(layer.share)
    return matte
