"""The room behind the wearer as a session knows it: from the profile, and from what it uncovers.

While the head moves the camera sees the wall behind it; what was seen is kept, at most
`MOST_WIDTH_PX` wide, in the light of the first frames. How each frame's light differs is measured
on the room that it shows, and so is whether the camera still stands where it stood.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.background.plate import PlateCrop
from models.face.alignment import cut_box, upright_box
from streaming.records import Float32Array, ImageU8

MaskU8 = NDArray[np.uint8]

MOST_WIDTH_PX = 640
LEAST_SEEN = 3  # looks at a pixel of the room until it is known
MOST_SEEN = 40  # looks that a pixel's mean goes back
CHANGED = 24.0  # 8-bit steps: what differs by more is something else
CHANGED_LOOKS = 25  # in a row until that something belongs to the room
LEAST_VISIBLE_PX = 100  # of the crop: the room must show to be compared
SEAM = (5, 5)  # px of the plate: gaps up to there are closed, edges fade over it
GAINS = (0.4, 2.5)
GAIN_STEP = 0.25
# A frame agrees when this share of the room that it shows is as near as this, in 8-bit steps.
AGREEING_SHARE, AGREEMENT = 0.85, 14.0
TRUST_STEP = 0.2  # per frame: nothing pops
MOVED_FRAMES = 50  # without agreement: the camera stands elsewhere now


def plate_scale(shape: tuple[int, ...]) -> float:
    """Size of a plate over that of frames (H,W,…)."""
    return min(1.0, MOST_WIDTH_PX / shape[1])


class Room:
    """Follows one session; give it every frame with a headset, before and after it is filled."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Know nothing yet of a room seen in frames of `shape` (H,W,3)."""
        self._shape, self.scale = shape, plate_scale(shape)
        size = (round(shape[0] * self.scale), round(shape[1] * self.scale))
        self._mean = np.zeros((*size, 3), np.float32)
        self._shown = np.zeros((*size, 3), np.float32)  # the mean, continued beyond what is known
        self._seen = np.zeros(size, np.uint8)
        self._doubts = np.zeros(size, np.uint8)
        self._known = np.zeros(size, np.float32)
        self.gain = np.ones(3, np.float32)
        self.trust = 0.0
        self._disagreed = 0

    def is_outdated_for(self, shape: tuple[int, ...]) -> bool:
        """Whether frames of `shape` (H,W,3) show another room, or this one from elsewhere."""
        return shape != self._shape or self._disagreed >= MOVED_FRAMES

    def seed(self, room: ImageU8, known: MaskU8) -> None:
        """Begin with a room (h,w,3) that is known where `known` (h,w) is not 0, both to scale."""
        self._mean[:] = room
        self._seen[:] = np.where(known > 0, LEAST_SEEN, 0)
        height, width = self._seen.shape
        self._soften((slice(0, height), slice(0, width)))

    def behind(
        self, crop: ImageU8, is_room: NDArray[np.bool_], frame_from_crop: Float32Array
    ) -> PlateCrop | None:
        """What is behind the crop (S,S,3); None while that is not known or not to be trusted.

        `is_room` (S,S) says where the crop shows the room for certain.
        """
        size = crop.shape[:2]
        to_plate = self._plate_from_crop(frame_from_crop)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        known = np.asarray(cv2.warpAffine(self._known, to_plate, size, flags=flags), np.float32)
        image = np.asarray(cv2.warpAffine(self._shown, to_plate, size, flags=flags), np.float32)
        shown = is_room[::2, ::2] & (known[::2, ::2] > 0.99)  # a quarter says as much
        if 4 * int(shown.sum()) >= LEAST_VISIBLE_PX:
            self._compare(crop[::2, ::2][shown].astype(np.float32), image[::2, ::2][shown])
        if self.trust <= 0:
            return None
        lit = np.clip(image * self.gain + 0.5, 0, 255).astype(np.uint8)
        return PlateCrop(lit, known * np.float32(self.trust))

    def learn(
        self, frame: ImageU8, is_room: NDArray[np.bool_], frame_from_crop: Float32Array
    ) -> None:
        """Keep what `frame` (H,W,3) shows of the room where `is_room` (S,S) of its crop says so."""
        size = len(is_room)
        left, top, side = upright_box(frame_from_crop, size)
        part, inner = self._box(left, top, side)
        height, width = part[0].stop - part[0].start, part[1].stop - part[1].start
        if min(height, width) < 1:
            return
        scaled = max(1, round(side * self.scale))
        sure = cv2.resize(is_room.astype(np.float32), (scaled, scaled)) > 0.99
        cut = cut_box(frame, left, top, side)
        if scaled != side:
            cut = np.asarray(cv2.resize(cut, (scaled, scaled), interpolation=cv2.INTER_AREA))
        rows, columns = slice(inner[0], inner[0] + height), slice(inner[1], inner[1] + width)
        seen = cut[rows, columns].astype(np.float32) / self.gain
        self._update(part, seen, sure[rows, columns])
        self._soften(part)

    def _update(
        self, part: tuple[slice, slice], seen: Float32Array, sure: NDArray[np.bool_]
    ) -> None:
        mean, count, doubts = self._mean[part], self._seen[part], self._doubts[part]
        difference = seen - mean
        differs = (np.abs(difference).max(-1) > CHANGED) & (count > 0)
        doubts[:] = np.where(sure & differs, doubts + 1, np.where(sure, 0, doubts))
        is_new = sure & (doubts >= CHANGED_LOOKS)
        count[is_new] = 0
        doubts[is_new] = 0
        taken = sure & (~differs | is_new)
        count += taken
        np.minimum(count, MOST_SEEN, out=count)
        share = taken / np.maximum(count, 1).astype(np.float32)
        mean += difference * share[..., None].astype(np.float32)

    def _compare(self, shown: Float32Array, known: Float32Array) -> None:
        """Gain and agreement from pixels (N,3) of the room as shown and as known."""
        ratio = np.median((shown + 4) / (known + 4), axis=0)
        gain = np.clip(ratio, *GAINS).astype(np.float32)
        self.gain = gain if self.trust <= 0 else self.gain + GAIN_STEP * (gain - self.gain)
        off = np.abs(shown - known * self.gain).mean(1)
        agrees = float(np.quantile(off, AGREEING_SHARE)) <= AGREEMENT
        self.trust = float(np.clip(self.trust + (TRUST_STEP if agrees else -TRUST_STEP), 0, 1))
        self._disagreed = 0 if agrees else self._disagreed + 1

    def _soften(self, part: tuple[slice, slice]) -> None:
        """Let what is known close small gaps and end softly, so that neither shows as a line.

        Also where `part` of the plate ends: beyond it, too, as far as a blur reaches.
        """
        changed, around = (self._widened(part, reach * SEAM[0]) for reach in (1, 2))
        known = (self._seen[around] >= LEAST_SEEN).astype(np.float32)
        near = cv2.blur(known, SEAM)
        continued = cv2.blur(self._mean[around] * known[..., None], SEAM)
        continued = continued / np.maximum(near, 1e-6)[..., None]
        shown = np.where(known[..., None] > 0, self._mean[around], continued)
        closed = cv2.morphologyEx(known, cv2.MORPH_CLOSE, np.ones(SEAM, np.uint8))
        soft = np.minimum(closed, cv2.blur(closed, SEAM))
        inner = tuple(
            slice(one.start - all_.start, one.stop - all_.start)
            for one, all_ in zip(changed, around, strict=True)
        )
        self._shown[changed], self._known[changed] = shown[inner], soft[inner]

    def _widened(self, part: tuple[slice, slice], by: int) -> tuple[slice, slice]:
        """Rows and columns so many px further on all sides, as far as the plate reaches."""
        height, width = self._seen.shape
        rows, columns = (
            slice(max(span.start - by, 0), min(span.stop + by, most))
            for span, most in zip(part, (height, width), strict=True)
        )
        return rows, columns

    def _plate_from_crop(self, frame_from_crop: Float32Array) -> Float32Array:
        scale = np.float32(self.scale)
        scaled = frame_from_crop * scale
        scaled[:, 2] += (scale - 1) / 2
        return np.asarray(scaled, np.float32)

    def _box(self, left: int, top: int, side: int) -> tuple[tuple[slice, slice], tuple[int, int]]:
        """Rows and columns of the plate that a box of the frame covers, and where they begin."""
        height, width = self._seen.shape
        first = round(top * self.scale), round(left * self.scale)
        length = max(1, round(side * self.scale))
        spans = [
            slice(min(max(start, 0), most), min(max(start + length, 0), most))
            for start, most in zip(first, (height, width), strict=True)
        ]
        inner = spans[0].start - first[0], spans[1].start - first[1]
        return (spans[0], spans[1]), inner
