"""Square crops turned with the head: cutting them out, and bringing what is found back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.alignment import head_box
from models.face.mesh import LEFT_EYE, RIGHT_EYE
from models.headset.contract import CROP_SHARE, SIZE_PX

Float32Array = NDArray[np.float32]
ImageU8 = NDArray[np.uint8]

# What the crop's next place may differ from its last before it moves: what the network reads of a
# crop trembles with the crop, and the crop would tremble with what is read. Chosen on the val
# clips; more than twice as much does as well there.
REST_SHARE = 0.02  # of the side, its centre
REST_SIZE = 0.04  # natural logarithm of the side
REST_ROLL_RAD = 0.03


@dataclass(frozen=True)
class HeadCrop:
    """A square of a frame."""

    centre: Float32Array  # (2,) px of the frame
    side_px: float
    roll_rad: float = 0.0  # how far the square is turned clockwise in the image

    @property
    def frame_from_share(self) -> NDArray[np.float64]:
        """(2,3) shares of the crop's side (0..1, pixel edges) -> px of the frame (centres)."""
        cos, sin = np.cos(self.roll_rad), np.sin(self.roll_rad)
        linear = self.side_px * np.array([[cos, -sin], [sin, cos]])
        corner = np.asarray(self.centre, np.float64) - linear @ np.array([0.5, 0.5])
        return np.column_stack([linear, corner])

    def cut(self, image: ImageU8) -> ImageU8:
        """The crop (S,S,3) of a frame (H,W,3); beyond the frame its border is repeated."""
        frame_from_crop = self.frame_from_pixels(SIZE_PX)
        step = self.side_px / SIZE_PX
        part, left, top = _around(image, self)
        frame_from_crop[:, 2] -= (left, top)
        while step > 2 and min(part.shape[:2]) > 2:  # else the warp would leave out pixels
            part = np.asarray(cv2.pyrDown(part), np.uint8)
            frame_from_crop /= 2
            step /= 2
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (SIZE_PX, SIZE_PX)
        edge = cv2.BORDER_REPLICATE
        cut = cv2.warpAffine(part, frame_from_crop, size, flags=flags, borderMode=edge)
        return np.asarray(cut, np.uint8)

    def mesh_in_frame(self, mesh: Float32Array) -> Float32Array:
        """A mesh (N,3) in shares of the crop -> px of the frame, z on the same scale."""
        matrix = self.frame_from_share
        points = mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        depth = mesh[:, 2:] * self.side_px
        return np.asarray(np.concatenate([points, depth], axis=1), np.float32)

    def points_in_crop(self, mesh: Float32Array) -> Float32Array:
        """Points (N,>=2) px of the frame -> (N,2) in shares of the crop's side."""
        matrix = self.frame_from_share
        inverse = np.linalg.inv(matrix[:, :2])
        return np.asarray((mesh[:, :2] - matrix[:, 2]) @ inverse.T, np.float32)

    def box_in_frame(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of a frame of `shape` that the crop reaches into; empty: none."""
        share = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float64)
        matrix = self.frame_from_share
        corners = share @ matrix[:, :2].T + matrix[:, 2]
        left, top = np.clip(np.floor(corners.min(axis=0)), 0, shape[1::-1]).astype(int)
        right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, shape[1::-1]).astype(int)
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def shown(self, shape: tuple[int, ...], size_px: int) -> NDArray[np.uint8]:
        """Which pixels of the crop, reduced to (S,S), a frame of `shape` shows: 1, else 0."""
        frame = np.ones(shape[:2], np.uint8)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        size = (size_px, size_px)
        shown = cv2.warpAffine(frame, self.frame_from_pixels(size_px), size, flags=flags)
        return np.asarray(shown, np.uint8)

    def frame_from_pixels(self, size_px: int) -> NDArray[np.float64]:
        """(2,3) pixel centres of a crop of a size -> pixel centres of the frame."""
        matrix = self.frame_from_share
        linear = matrix[:, :2] / size_px
        return np.column_stack([linear, matrix[:, 2] + linear @ np.array([0.5, 0.5]) - 0.5])


def crop_of_mesh(mesh: Float32Array) -> HeadCrop:
    """The crop in which HeadsetNet expects a followed head, from its mesh (478,3) px."""
    box = head_box(mesh)
    across = mesh[LEFT_EYE.outer_corner, :2] - mesh[RIGHT_EYE.outer_corner, :2]
    return HeadCrop(box.centre, box.side_px / CROP_SHARE, float(np.arctan2(across[1], across[0])))


def eased(last: HeadCrop, wanted: HeadCrop) -> HeadCrop:
    """The crop that follows on `last`: it moves by what `wanted` lies beyond the rest around it."""
    step = wanted.centre - last.centre
    length = float(np.linalg.norm(step))
    rest = REST_SHARE * last.side_px
    centre = last.centre + step * (_beyond(length, rest) / max(length, 1e-6))
    growth = _beyond(math.log(wanted.side_px / last.side_px), REST_SIZE)
    turn = math.remainder(wanted.roll_rad - last.roll_rad, 2 * math.pi)
    roll = last.roll_rad + _beyond(turn, REST_ROLL_RAD)
    return HeadCrop(centre.astype(np.float32), last.side_px * math.exp(growth), roll)


def _beyond(change: float, rest: float) -> float:
    return math.copysign(max(abs(change) - rest, 0.0), change)


def _around(image: ImageU8, crop: HeadCrop) -> tuple[ImageU8, int, int]:
    """The part of the frame that a crop may touch, and where it starts."""
    reach = crop.side_px * (abs(np.cos(crop.roll_rad)) + abs(np.sin(crop.roll_rad))) / 2 + 4
    height, width = image.shape[:2]
    left, top = (
        int(np.clip(c - reach, 0, limit - 1))
        for c, limit in zip(crop.centre, (width, height), strict=True)
    )
    right, bottom = (
        int(np.clip(c + reach + 1, low + 1, limit))
        for c, low, limit in zip(crop.centre, (left, top), (width, height), strict=True)
    )
    return image[top:bottom, left:right], left, top
