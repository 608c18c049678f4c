"""Made-up camera crops of people with and without headsets, labelled: what HeadsetNet learns from.

A bare face whose mesh is known gets a headset (a model of the folder of cut-outs or a procedural
one, moved, tinted and relit at random), glasses or nothing; hands and hair may lie over it. A crop
of it, or a small copy in front of a made-up background, is what the network sees. The labels come
from the making: outline, mesh, and where each head is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.headset_render import Headset, ProceduralHeadset
from models.face.alignment import head_box
from models.headset.contract import CROP_SHARE, SIZE_PX
from training.scenes.bare_faces import BareFace, mirrored_points
from training.scenes.camera_faults import camera_faults
from training.scenes.crops import crop_matrix, moved_into, warped
from training.scenes.face_props import (
    body_under,
    hair_over,
    hand_over,
    put_glasses_on,
    put_headphones_on,
)
from training.scenes.headset_designs import random_style
from training.scenes.headset_parts import redesigned, softened
from training.scenes.headset_variety import blending_in, repainted, shaken

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

SEEN_SHARE = 0.45  # of a crop's side: smaller heads are for finding only, their mesh is not learnt
OUT_OF_FOCUS_SHARE = 0.3  # of the headsets
BLENDING_IN_SHARE = 0.15  # of the headsets have the colour of what is beside the face


@dataclass(frozen=True)
class Head:
    """One head in a scene."""

    centre: Float32Array  # (2,) of the crop, 0..1
    side: float  # of its head box over the crop's side
    is_covered: bool


@dataclass(frozen=True)
class Scene:
    """One labelled crop."""

    image: ImageU8  # (S,S,3) BGR
    mask: Float32Array  # (S,S) share of each pixel that is headset
    mesh: Float32Array | None  # (478,3) share of the crop's side; None: no head, or a small one
    heads: list[Head] = field(default_factory=list)

    @property
    def main_head(self) -> Head | None:
        """The head that the crop is about, if any."""
        return max(self.heads, key=lambda head: head.side, default=None)


@dataclass(frozen=True)
class _Dressed:
    image: ImageU8  # (H,W,3)
    mask: ImageU8  # (H,W) 0..255 headset
    mesh: Float32Array
    is_covered: bool


class WornScenes:
    """Makes scenes; the same seed makes the same ones."""

    def __init__(
        self,
        faces: Sequence[BareFace],
        built_in: Sequence[Headset],
        models: Sequence[Headset],
        seed: int,
        *,
        is_rim_whole: bool = False,
    ) -> None:
        """Keep the parts; of the headsets, 45 % are `models`, the others built in or made up.

        With `is_rim_whole` a pixel that a headset only touches is labelled as headset, as the
        simulated headset says what is hidden; without, by the share that is covered.
        """
        self._faces = faces
        self._built_in = built_in
        self._models = models or built_in
        self._is_rim_whole = is_rim_whole
        self.random = np.random.default_rng(seed)

    def scene(self) -> Scene:
        """One more scene: mostly heads to follow, some to find, some without anybody."""
        kind = self.random.random()
        if kind < 0.68:
            scene = self._followed(self._dressed())
        elif kind < 0.95:
            scene = self._searched()
        else:
            scene = Scene(self._background(), np.zeros((SIZE_PX, SIZE_PX), np.float32), None)
        image = camera_faults(scene.image, self.random)
        return Scene(image, scene.mask, scene.mesh, scene.heads)

    def followed(self, face: BareFace) -> Scene:
        """A crop as the tracker cuts it of a face with a headset on, by a faultless camera."""
        return self._followed(self._with_things_on(face, is_covered=True))

    def _dressed(self) -> _Dressed:
        random = self.random
        face = self._faces[int(random.integers(len(self._faces)))]
        if random.random() < 0.5:
            face = mirrored(face)
        return self._with_things_on(face, is_covered=random.random() < 0.78)

    def _with_things_on(self, face: BareFace, *, is_covered: bool) -> _Dressed:
        random = self.random
        image, mesh = face.image, face.mesh
        mask = np.zeros(image.shape[:2], np.uint8)
        if random.random() < 0.1:
            image = put_headphones_on(image, mesh, random)
        if is_covered:
            image, mask = self._with_headset(image, mesh)
        elif random.random() < 0.4:
            image = put_glasses_on(image, mesh, random)
        if random.random() < 0.2:
            image, mask = hand_over(image, mask, mesh, random)
        if self._is_rim_whole:
            mask = np.asarray((mask > 0) * 255, np.uint8)
        return _Dressed(image, mask, mesh, is_covered)

    def _with_headset(self, image: ImageU8, mesh: Float32Array) -> tuple[ImageU8, ImageU8]:
        random = self.random
        patch = self._headset().draw(shaken(mesh, random), image)
        mask = np.zeros(image.shape[:2], np.uint8)
        if patch is None:
            return image, mask
        if random.random() < 0.6:
            patch = redesigned(patch, image.shape, random)
        patch = repainted(patch, self._picture(), random)
        if random.random() < OUT_OF_FOCUS_SHARE:
            patch = softened(patch, image.shape, random)
        if random.random() < BLENDING_IN_SHARE:
            patch = blending_in(patch, image, mesh, random)
        height, width = patch.alpha.shape
        area = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
        image = image.copy()
        rest = cv2.cvtColor(cv2.bitwise_not(patch.alpha), cv2.COLOR_GRAY2BGR)
        image[area] = cv2.add(cv2.multiply(image[area], rest, scale=1 / 255), patch.colour)
        mask[area] = patch.alpha
        if random.random() < 0.15:
            image = hair_over(image, mesh, random)
        return image, mask

    def _headset(self) -> Headset:
        """A model, one that is built in, or one that nobody sells."""
        random = self.random
        kind = random.random()
        if kind < 0.3:
            return ProceduralHeadset.of_style(random_style(random), random)
        pool = self._models if kind < 0.75 else self._built_in
        return pool[int(random.integers(len(pool)))]

    def _followed(self, dressed: _Dressed) -> Scene:
        """A crop as the tracker cuts it: the head nearly upright, centred and of known size."""
        random = self.random
        box = head_box(dressed.mesh)
        side = box.side_px / CROP_SHARE * float(np.exp(random.normal(0, 0.13)))
        shift = random.normal(0, 0.055, 2).clip(-0.16, 0.16) * side
        matrix = crop_matrix(box.centre + shift, side, float(random.normal(0, 9)))
        edge = cv2.BORDER_REPLICATE if random.random() < 0.5 else cv2.BORDER_REFLECT_101
        if random.random() < 0.2:
            image, edge = self._over_background(dressed.image, matrix), cv2.BORDER_CONSTANT
        else:
            image = warped(dressed.image, matrix, edge)
        # A headset that the picture's edge cuts off goes on beyond it, and so does its outline.
        mask = warped(dressed.mask, matrix, edge)
        return self._labelled(image, mask, [(dressed, matrix)])

    def _searched(self) -> Scene:
        """One to three small heads in front of a background."""
        random = self.random
        image = self._background()
        mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
        placed: list[tuple[_Dressed, NDArray[np.float64]]] = []
        for place in random.permutation(3)[: int(random.choice([1, 1, 2, 3]))]:
            dressed = self._dressed()
            share = float(np.exp(random.uniform(np.log(0.09), np.log(0.7))))
            # Several heads stand side by side; one alone may stand anywhere.
            left = place / 3 if len(placed) else 0.0
            room = 1 / 3 if len(placed) else 1.0
            share = min(share, room)
            centre = np.array([left + random.uniform(0, 1) * room, random.uniform(0.1, 0.9)])
            side = head_box(dressed.mesh).side_px / share
            middle = head_box(dressed.mesh).centre - (centre - 0.5) * side
            matrix = crop_matrix(middle, side, float(random.normal(0, 6)))
            if random.random() < 0.75:
                skin = dressed.image[tuple(np.clip(dressed.mesh[50, 1::-1].astype(int), 0, 255))]
                image = body_under(image, centre, share, skin, self._picture(), random)
            image = self._pasted(image, dressed.image, matrix, mask)
            mask = np.maximum(mask, warped(dressed.mask, matrix, cv2.BORDER_CONSTANT))
            placed.append((dressed, matrix))
        return self._labelled(image, mask, placed)

    def _labelled(
        self,
        image: ImageU8,
        mask: ImageU8,
        placed: Sequence[tuple[_Dressed, NDArray[np.float64]]],
    ) -> Scene:
        heads, mesh = [], None
        for dressed, matrix in placed:
            moved = moved_into(dressed.mesh, matrix)
            box = head_box(moved * SIZE_PX)
            head = Head(box.centre / SIZE_PX, box.side_px / SIZE_PX, dressed.is_covered)
            if not (head.centre.min() >= 0 and head.centre.max() <= 1):
                continue
            heads.append(head)
            if head.side >= SEEN_SHARE and len(placed) == 1:
                mesh = moved
        return Scene(image, mask.astype(np.float32) / 255, mesh, heads)

    def _picture(self) -> ImageU8:
        return self._faces[int(self.random.integers(len(self._faces)))].image

    def _over_background(self, image: ImageU8, matrix: NDArray[np.float64]) -> ImageU8:
        inside = warped(np.full(image.shape[:2], 255, np.uint8), matrix, cv2.BORDER_CONSTANT)
        image = warped(image, matrix, cv2.BORDER_REPLICATE)
        return np.where(inside[..., None] > 127, image, self._background())

    def _pasted(
        self, scene: ImageU8, image: ImageU8, matrix: NDArray[np.float64], others: ImageU8
    ) -> ImageU8:
        """Put a head in front of a scene, its own surroundings faded out more or less."""
        height, width = image.shape[:2]
        weight = np.zeros((height, width), np.uint8)
        if self.random.random() < 0.3:
            weight[2:-2, 2:-2] = 255
        else:
            middle, axes = (width // 2, int(0.5 * height)), (int(0.42 * width), int(0.46 * height))
            cv2.ellipse(weight, middle, axes, 0, 0, 360, (255.0,), -1)
            weight[height // 2 :, int(0.2 * width) : int(0.8 * width)] = 255  # shoulders
            weight = np.asarray(cv2.blur(weight, (25, 25)), np.uint8)
        weight = warped(weight, matrix, cv2.BORDER_CONSTANT)
        others[weight > 127] = 0  # what stands behind is hidden
        image = warped(image, matrix, cv2.BORDER_REPLICATE)
        whole = cv2.cvtColor(weight, cv2.COLOR_GRAY2BGR)
        behind = cv2.multiply(scene, cv2.bitwise_not(whole), scale=1 / 255)
        return np.asarray(cv2.add(behind, cv2.multiply(image, whole, scale=1 / 255)), np.uint8)

    def _background(self) -> ImageU8:
        """A collage of enlarged corners of pictures: rooms, clothes, hair, no whole face."""
        random = self.random
        low, high = random.integers(0, 200, (2, 3))
        ramp = np.linspace(0, 1, SIZE_PX)[:, None, None]
        canvas = np.asarray(low + (high - low) * ramp + np.zeros((1, SIZE_PX, 1)), np.uint8)
        for _ in range(int(random.integers(2, 8))):
            picture = self._picture()
            side = int(random.integers(24, 80))
            top = int(random.integers(0, picture.shape[0] - side))
            left = 0 if random.random() < 0.5 else picture.shape[1] - side
            part = picture[top : top + side, left : left + side]
            width, height = (int(v) for v in random.integers(30, SIZE_PX + 1, 2))
            x, y = (int(random.integers(-30, SIZE_PX - 20)) for _ in range(2))
            target = canvas[max(y, 0) : y + height, max(x, 0) : x + width]
            if target.size:
                target[:] = cv2.resize(part, target.shape[1::-1])
        if random.random() < 0.5:
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), random.uniform(0.5, 4)), np.uint8)
        return canvas


def mirrored(face: BareFace) -> BareFace:
    """The picture and its mesh as in a mirror, points renumbered."""
    flipped = face.mesh[mirrored_points()].copy()
    flipped[:, 0] = face.image.shape[1] - 1 - flipped[:, 0]
    return BareFace(np.ascontiguousarray(face.image[:, ::-1]), flipped)
