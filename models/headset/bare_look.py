"""What the wearer's own picture says of the headset's outline: what still looks like it is bare.

Hair, ears and straps are what HeadsetNet mistakes for each other. The reference shows the wearer's
hair and ears, so every pixel of a crop is asked which explains its colour better: the headset, by
the colours of what surely is one, or the reference, moved to where the head is now. The logarithm
of the ratio of both densities is added to the network's own (Bayes' rule). How far the reference
can be believed is measured in each frame, where surely no headset is: under another light, in
another room or with other hair it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.headset.contract import MASK_PX, SIZE_PX
from models.headset.head_crop import crop_of_mesh
from models.reference import Reference
from models.warp import head_motion

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

# Chosen on the val clips; references of another brightness, side of light and person were tried as
# well: the worst costs .0002 of the intersection over union and .003 of the boundary F-score.
WEIGHT = 0.6  # of the evidence beside the network's own, which saw the same pixels
MOST = 4.0  # logarithm of the ratio of densities that one pixel may tell
BINS = 24  # of each colour channel, for the headset's colours
BIN_BLUR = 1.0  # bins
BIN_OF = (np.arange(256) * BINS // 256).astype(np.intp)  # of an 8-bit value
FEW_PX = 2.0  # pixels of any colour that are taken for seen on every headset
STRANGE_SHARE = 0.1  # of bare pixels show what the reference does not
SURELY, SURELY_BARE = 0.5, 0.02  # probability of headset: from here up, up to here
AROUND_PX = 12  # as far around the headset the reference is put to the test
LEAST_PX = 50
LEAST_SPREAD = 8.0  # 8-bit steps: no two pictures agree better
# Spread from which the evidence is believed less: for what is bare, and for what is headset.
BARE_SPREAD, HEADSET_SPREAD = 15.0, 7.0
LIGHTER = (0.5, 2.0)  # contrast of the frame over that of the reference
USUAL = 12.0  # 8-bit steps beside the median difference: what is not moved or covered
FLAT = 100.0  # variance of colours, 8-bit steps squared, that tells nothing of contrast
STEPS_PX = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
COLOURS = 256.0**3
HALF = (MASK_PX, MASK_PX)


@dataclass(frozen=True)
class BareEvidence:
    """What the reference says of one crop."""

    mask: Float32Array  # (M,M) the soft outline after the reference was asked
    light: _Light | None = None  # of the crop; None: not known


class BareLook:
    """Knows how the wearer looks without a headset."""

    def __init__(self, reference: Reference) -> None:
        """Keep the head of the reference, a picture of the bare face and its mesh."""
        crop = crop_of_mesh(reference.mesh)
        cut = crop.cut(reference.image)
        sizes = ((cut, SIZE_PX), (_halved(cut), MASK_PX))
        self._picture, self._small = (
            np.dstack([colours, crop.shown(reference.image.shape, size) * np.uint8(255)])
            for colours, size in sizes
        )
        self._points = crop.points_in_crop(reference.mesh)

    def evidence(self, mask: Float32Array, cut: ImageU8, points: Float32Array) -> BareEvidence:
        """What the reference says of a crop (S,S,3) with a soft outline (M,M).

        `points` (478,>=2) is the face's mesh in shares of the crop's side.
        """
        seen, moved = _halved(cut), self._moved(self._small, points)
        known = moved[..., 3] > 250
        bare = mask < SURELY_BARE
        tested = known & bare & _near(mask)
        asked = known & ~bare & (mask < 1 - SURELY_BARE)
        if min(tested.sum(), asked.sum()) < LEAST_PX:
            return BareEvidence(mask)
        light = _Light(seen, np.asarray(moved[..., :3], np.uint8), tested)
        return BareEvidence(_weighed(mask, seen, asked, light), light)

    def beside(
        self, points: Float32Array, light: _Light | None, area: tuple[slice, slice]
    ) -> ImageU8:
        """The reference in the crop's light beside rows and columns of it, (H,W,4); 255 = shown."""
        moved = self._moved(self._picture, points, area)
        if light is None:
            return moved
        return np.dstack([light.thrown_on(moved), moved[..., 3]])

    def _moved(
        self, picture: ImageU8, points: Float32Array, area: tuple[slice, slice] | None = None
    ) -> ImageU8:
        """A picture (T,T,4) of the reference moved beside an area of the crop, at its scale."""
        side = len(picture)
        rows, columns = area or (slice(0, side), slice(0, side))
        motion = head_motion(_pixels(points, side), _pixels(self._points, side))
        motion[:, 2] += motion[:, :2] @ (columns.start, rows.start)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(picture, motion, size, flags=flags), np.uint8)


def _weighed(mask: Float32Array, seen: ImageU8, asked: Bools, light: _Light) -> Float32Array:
    """The soft outline (M,M) after the reference was asked where it is in doubt."""
    told = _headset_density(mask, seen, asked) - light.density(asked)
    told = np.clip(told, -MOST, MOST) * np.where(told > 0, light.unlike, light.alike) * WEIGHT
    chance = mask[asked]
    odds = chance / (1 - chance) * np.exp(told)
    weighed = mask.copy()
    weighed[asked] = odds / (1 + odds)
    return weighed


class _Light:
    """The reference in the light of the frame, and how well it then agrees."""

    def __init__(self, seen: ImageU8, picture: ImageU8, tested: Bools) -> None:
        """`seen` and `picture` are (M,M,3) colours; fitted where `tested` (M,M)."""
        some = tested[::2, ::2]  # as good as all of them
        here, there = (image[::2, ::2][some].astype(np.float32) for image in (seen, picture))
        gain = _gain(here, there)
        off = here - there * gain
        shift = np.median(off, axis=0)
        spread = np.maximum(1.48 * np.median(np.abs(off - shift), axis=0), LEAST_SPREAD)
        self._seen, self._picture = seen, picture
        self._gain, self._shift, self._spread = gain, shift, spread
        self._peak = (1 - STRANGE_SHARE) / float(np.sqrt((2 * np.pi) ** 3) * spread.prod())
        mean = float(spread.mean())
        self.alike = min(1.0, (BARE_SPREAD / mean) ** 2)  # how far it is believed: is bare
        self.unlike = min(1.0, (HEADSET_SPREAD / mean) ** 4)  # and: is headset

    def thrown_on(self, picture: ImageU8) -> ImageU8:
        """Colours of a picture (S,S,>=3) of the bare face as this light shows them, (S,S,3)."""
        steps = np.arange(256, dtype=np.float32)[:, None]
        table = np.clip(steps * self._gain + self._shift + 0.5, 0, 255).astype(np.uint8)
        colours = np.ascontiguousarray(picture[..., :3])
        return np.asarray(cv2.LUT(colours, table[:, None]), np.uint8)

    def density(self, asked: Bools) -> Float32Array:
        """Logarithm of the density of the frame's colours if the reference is seen, (N,)."""
        picture = cv2.copyMakeBorder(self._picture, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        rows, columns = np.nonzero(asked)
        # Scaled where it is asked for alone: that is a part of the picture.
        here = (self._seen[rows, columns] - self._shift) / self._spread
        scale = self._gain / self._spread
        nearest = np.full(len(here), np.inf, np.float32)
        for right, down in STEPS_PX:  # the head is placed no better than that
            off = here - picture[rows + 1 + down, columns + 1 + right] * scale
            nearest = np.minimum(nearest, (off**2).sum(axis=1))
        strange = 8 * STRANGE_SHARE / COLOURS
        return np.asarray(np.log(self._peak * np.exp(-nearest / 2) + strange), np.float32)


def _gain(here: Float32Array, there: Float32Array) -> Float32Array:
    """Contrast of the frame's colours (N,3) over that of the reference's at the same places."""
    off = here - there
    off = np.abs(off - np.median(off, axis=0))
    usual = (off <= 3 * np.median(off, axis=0) + USUAL).all(axis=1)
    if not usual.any():
        return np.ones(3, np.float32)
    one, other = here[usual], there[usual]
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    gain = ((one * other).mean(axis=0) + FLAT) / ((other**2).mean(axis=0) + FLAT)
    return np.asarray(np.clip(gain, *LIGHTER), np.float32)


def _pixels(points: Float32Array, side: int) -> Float32Array:
    """Points (N,>=2) in shares of a crop's side as (N,2) px of a picture of it."""
    return np.asarray(points[:, :2] * side - 0.5, np.float32)


def _halved(image: ImageU8) -> ImageU8:
    """A crop in its outline's grid."""
    return np.asarray(cv2.resize(image, HALF, interpolation=cv2.INTER_AREA), np.uint8)


def _near(mask: Float32Array) -> Bools:
    sure = np.asarray(mask > SURELY, np.uint8)
    return np.asarray(cv2.dilate(sure, np.ones((2 * AROUND_PX + 1,) * 2, np.uint8)) > 0)


def _headset_density(mask: Float32Array, seen: ImageU8, asked: Bools) -> Float32Array:
    """Logarithm of the density of the asked pixels' colours on what surely is headset, (N,)."""
    blue, green, red = (BIN_OF[seen[..., channel]] for channel in range(3))
    place = (blue * BINS + green) * BINS + red
    weight = np.where(mask > SURELY, mask, 0).ravel()
    counts = np.bincount(place.ravel(), weight, BINS**3).astype(np.float32)
    smooth = _blurred(counts.reshape(BINS, BINS, BINS)).ravel()
    share = (smooth + FEW_PX / BINS**3) / (float(weight.sum()) + FEW_PX)
    density = share * (BINS**3 / COLOURS)
    return np.asarray(np.log(density[place[asked]]), np.float32)


def _blurred(counts: Float32Array) -> Float32Array:
    """A cube blurred along each of its axes."""
    kernel = cv2.getGaussianKernel(2 * round(3 * BIN_BLUR) + 1, BIN_BLUR)
    one = np.ones((1, 1))
    for _ in range(3):
        flat = counts.reshape(BINS, BINS * BINS)
        blurred = cv2.sepFilter2D(flat, -1, one, kernel)
        counts = np.asarray(blurred.T.reshape(BINS, BINS, BINS), np.float32)
    return counts
