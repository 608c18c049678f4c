"""Made-up camera crops of people with and without face masks, labelled: what FaceMaskNet learns.

A bare face whose mesh is known, now and then with a beard drawn on, gets a mask or a scarf, drawn
anew in other light or with a piece of a picture printed on, which casts its shadow; hands, hair and
glasses lie over it. Without a mask there are faces with hands, glasses, beards and headsets: what
must not be taken for one. The label comes from the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Patch
from hmd_capture.face_masks.drawing import FaceMask
from hmd_capture.face_masks.patterns import Textures
from hmd_capture.headset_render import ProceduralHeadset
from models.face.alignment import head_box
from models.headset.contract import CROP_SHARE
from training.face_covers.covers import hand
from training.face_masks.disguises import beard_on, photo_printed
from training.scenes.bare_faces import BareFace
from training.scenes.camera_faults import camera_faults
from training.scenes.crops import crop_matrix, warped
from training.scenes.face_props import hair_over, hand_over, put_glasses_on
from training.scenes.headset_variety import repainted
from training.scenes.worn_scenes import mirrored

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

MASKED_SHARE = 0.75  # of the scenes
POOL = 400  # masks at hand; one is replaced now and then
RENEWED = 0.1  # of the scenes bring a new one
BEARDED_SHARE = 0.2  # of the faces, by a beard of their own or not
PHOTO_SHARE = 0.25  # of the masks: a piece of a picture is printed on them
FAULTY_SHARE = 0.5  # of the scenes as a poor camera shows them, the others as they are
HEADSETS = 6  # for faces without a mask


@dataclass(frozen=True)
class MaskScene:
    """One labelled crop."""

    image: ImageU8  # (S,S,3) BGR
    mask: Float32Array  # (S,S) share of each pixel that is mask, scarf or strap


class MaskScenes:
    """Makes scenes; the same seed makes the same ones."""

    def __init__(self, faces: Sequence[BareFace], textures: Textures, seed: int) -> None:
        """Dress these faces in masks with the patterns of a split."""
        self._faces, self._textures = faces, textures
        self.random = np.random.default_rng(seed)
        self._pool: list[FaceMask] = []
        self._headsets = [ProceduralHeadset(None, index) for index in range(HEADSETS)]

    def scene(self) -> MaskScene:
        """One more scene."""
        random = self.random
        face = self._faces[int(random.integers(len(self._faces)))]
        if random.random() < 0.5:
            face = mirrored(face)
        image, mask = self._masked(face) if random.random() < MASKED_SHARE else self._bare(face)
        crop, label = self._cut(image, mask, face.mesh)
        is_faulty = random.random() < FAULTY_SHARE
        return MaskScene(camera_faults(crop, random) if is_faulty else crop, label)

    def _masked(self, face: BareFace) -> tuple[ImageU8, ImageU8]:
        random = self.random
        image, mesh = face.image, face.mesh
        if random.random() < BEARDED_SHARE:
            image = beard_on(image, mesh, random)
        if random.random() < 0.25:
            image = put_glasses_on(image, mesh, random)
        patch = self._mask().draw(_worn_otherwise(mesh, random), image)
        mask = np.zeros(image.shape[:2], np.uint8)
        if patch is None:
            return image, mask
        if random.random() < 0.5:
            patch = repainted(patch, self._picture(), random)
        if random.random() < PHOTO_SHARE:
            patch = photo_printed(patch, self._picture(), random)
        image = _laid(_shaded(image, patch, random), patch)
        mask[_area(patch)] = patch.alpha
        if random.random() < 0.12:
            image = hair_over(image, mesh, random)
        if random.random() < 0.12:
            image, mask = hand_over(image, mask, mesh, random)
        return image, mask

    def _bare(self, face: BareFace) -> tuple[ImageU8, ImageU8]:
        """No mask: as it is, with a hand, glasses, or a headset."""
        random = self.random
        image, kind = face.image, random.random()
        if random.random() < BEARDED_SHARE:
            image = beard_on(image, face.mesh, random)
        if kind < 0.25:
            image, _ = hand(replace(face, image=image), random)
        elif kind < 0.4:
            image = put_glasses_on(image, face.mesh, random)
        elif kind < 0.55:
            headset = self._headsets[int(random.integers(HEADSETS))]
            patch = headset.draw(face.mesh, image)
            if patch is not None:
                image = _laid(image, repainted(patch, self._picture(), random))
        return image, np.zeros(image.shape[:2], np.uint8)

    def _mask(self) -> FaceMask:
        """One of the pool, or a new one in its place."""
        random = self.random
        if len(self._pool) < POOL or random.random() < RENEWED:
            made = FaceMask(None, int(random.integers(1_000_000)), self._textures)
            if len(self._pool) < POOL:
                self._pool.append(made)
            else:
                self._pool[int(random.integers(POOL))] = made
            return made
        return self._pool[int(random.integers(POOL))]

    def _picture(self) -> ImageU8:
        return self._faces[int(self.random.integers(len(self._faces)))].image

    def _cut(
        self, image: ImageU8, mask: ImageU8, mesh: Float32Array
    ) -> tuple[ImageU8, Float32Array]:
        """A crop as the tracker cuts it: the head nearly upright, centred and of known size."""
        random = self.random
        box = head_box(mesh)
        side = box.side_px / CROP_SHARE * float(np.exp(random.normal(0, 0.10)))
        shift = random.normal(0, 0.045, 2).clip(-0.14, 0.14) * side
        matrix = crop_matrix(box.centre + shift, side, float(random.normal(0, 7)))
        edge = cv2.BORDER_REPLICATE  # as the tracker's crops
        label = warped(mask, matrix, edge).astype(np.float32) / 255
        return warped(image, matrix, edge), label


def _worn_otherwise(mesh: Float32Array, random: np.random.Generator) -> Float32Array:
    """The mesh that the mask is fitted to: a little off, as meshes and masks are."""
    centre = mesh.mean(axis=0)
    size = float(mesh[:, 1].max() - mesh[:, 1].min())
    stretch = np.exp(random.normal(0, 0.03, 3))
    shift = np.array([*random.normal(0, 0.012, 2), 0.0]) * size
    return np.asarray((mesh - centre) * stretch + centre + shift, np.float32)


def _area(patch: Patch) -> tuple[slice, slice]:
    height, width = patch.alpha.shape
    return slice(patch.top, patch.top + height), slice(patch.left, patch.left + width)


def _laid(image: ImageU8, patch: Patch) -> ImageU8:
    """The image (H,W,3) with a patch over it."""
    result, area = image.copy(), _area(patch)
    rest = cv2.cvtColor(cv2.bitwise_not(patch.alpha), cv2.COLOR_GRAY2BGR)
    result[area] = cv2.add(cv2.multiply(image[area], rest, scale=1 / 255), patch.colour)
    return result


def _shaded(image: ImageU8, patch: Patch, random: np.random.Generator) -> ImageU8:
    """The image with the soft shadow that a mask throws on the skin beside it."""
    if random.random() < 0.4:
        return image
    shadow = np.zeros(image.shape[:2], np.float32)
    shadow[_area(patch)] = patch.alpha / np.float32(255)
    sigma = random.uniform(1.0, 4.0)
    drop = np.array([[1, 0, random.uniform(-2, 2)], [0, 1, random.uniform(-1, 4)]])
    moved = cv2.warpAffine(shadow, drop, shadow.shape[::-1])
    dark = 1 - random.uniform(0.05, 0.4) * cv2.GaussianBlur(moved, (0, 0), sigma)
    return np.asarray(image * np.asarray(dark, np.float32)[..., None] + 0.5, np.uint8)
