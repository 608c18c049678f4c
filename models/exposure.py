"""How much lighter and in what colour a frame shows what a view shows: one gain per channel.

Cameras choose exposure and white balance anew, and rooms have other lamps: all of that multiplies
what skin reflects (von Kries 1902), where the registration's tint adds. Views that are too dark
lead the registration astray, too: optical flow expects equal brightness.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.registration import at_points

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Bools = NDArray[np.bool_]

OFFSET = 8.0  # 8-bit steps, so that black does not count
LARGEST_GAIN = 2.5
# Chosen on val clips, as they are and relit: medians take a shadow under the chin for another lamp.
FEWER_SHARE = 0.25  # of the points may show a smaller change


def observed_gain(crop: ImageU8, warped: ImageU8, mesh: Float32Array, seen: Bools) -> Float32Array:
    """Logarithm of `crop` over `warped` (S,S,3) for each of the three channels, (3,) float32.

    As much of it as three quarters of the points of `mesh` (>=468,3) px that `seen` (468,) tells
    have in common; 0 where they disagree. What is left is for the tint to find.
    """
    shown, known = (
        at_points(cv2.blur(image, (3, 3)), mesh)[seen] + OFFSET for image in (crop, warped)
    )
    low, high = np.quantile(np.log(shown / known), (FEWER_SHARE, 1 - FEWER_SHARE), axis=0)
    common = np.maximum(low, 0) + np.minimum(high, 0)
    limit = np.log(LARGEST_GAIN)
    return np.asarray(np.clip(common, -limit, limit), np.float32)


def relit(image: ImageU8, gain: Float32Array) -> ImageU8:
    """`image` (S,S,3) in the light of a frame, by the logarithms `gain` (3,)."""
    if not gain.any():
        return image
    shown = np.clip(np.arange(256)[:, None] * np.exp(gain) + 0.5, 0, 255)
    return np.asarray(cv2.LUT(image, shown.astype(np.uint8)[None]), np.uint8)
