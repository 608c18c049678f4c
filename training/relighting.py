"""A clip in the light of another room: what a session sees whose profile was made elsewhere.

Light adds up linearly, pictures do not: colours are changed in linear light, then coded again.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Light = Literal["dim", "warm", "side"]

LIGHTS: tuple[Light, ...] = get_args(Light)
GAMMA = 2.2  # of coded values
DIM = 0.6  # of the light
WARM = (0.7, 1.0, 1.3)  # of blue, green and red
SIDE = 0.5  # less on the left of the crop, more on the right


def relit(images: ImageU8, light: Light) -> ImageU8:
    """Pictures (N,H,W,3) uint8 BGR under another light."""
    shades = np.arange(256, dtype=np.float32) / 255
    linear = (shades**GAMMA)[images] * _gain(light, images.shape[2])
    coded = np.clip(linear, 0, 1) ** (1 / GAMMA) * 255 + 0.5
    return coded.astype(np.uint8)


def _gain(light: Light, width: int) -> Float32Array:
    """How much of the light is left, by column and channel, (W,3)."""
    gain = np.ones((width, 3), np.float32)
    if light == "dim":
        gain *= DIM
    elif light == "warm":
        gain *= np.array(WARM, np.float32)
    else:
        gain *= 1 + SIDE * np.linspace(-1, 1, width, dtype=np.float32)[:, None]
    return gain
