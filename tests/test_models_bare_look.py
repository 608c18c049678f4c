from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.headset.bare_look import BareLook
from models.headset.contract import MASK_PX, SIZE_PX
from models.headset.head_crop import HeadCrop, crop_of_mesh
from models.headset.outline import COARSE_HEADSET
from models.reference import Reference

MeshMaker = Callable[..., NDArray[np.float32]]
ImageU8 = NDArray[np.uint8]
HEADSET, HAIR = np.s_[75:160, 60:200], np.s_[75:160, 200:226]


def worn(image: ImageU8) -> ImageU8:
    """A dark headset in front of a picture."""
    camera = image.copy()
    camera[HEADSET] = (38, 36, 35)
    return camera


def soft(crop: HeadCrop, hair: float) -> NDArray[np.float32]:
    """The headset as the network sees it, and so much of the hair beside it."""
    mask = np.zeros((256, 256, 3), np.uint8)
    mask[HEADSET] = 255
    mask[HAIR] = round(255 * hair)
    cut = cv2.resize(crop.cut(mask), (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return (cut[..., 0] / 255).astype(np.float32)


def part(crop: HeadCrop, area: tuple[slice, slice]) -> NDArray[np.bool_]:
    """The inside of an area of the frame, in the outline's grid."""
    frame = np.zeros((256, 256, 3), np.uint8)
    frame[area] = 255
    cut = cv2.resize(crop.cut(frame), (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.erode(cut[..., 0], np.ones((5, 5), np.uint8)) == 255)


@pytest.fixture
def person(textured_image: ImageU8, canonical_mesh: NDArray[np.float32]) -> Reference:
    """A bright picture, so that nothing in it has a headset's colour."""
    return Reference(np.asarray(textured_image // 3 + 150, np.uint8), canonical_mesh)


def weighed(
    person: Reference, camera: ImageU8, hair: float
) -> tuple[HeadCrop, NDArray[np.float32]]:
    crop = crop_of_mesh(person.mesh)
    points = crop.points_in_crop(person.mesh)
    return crop, BareLook(person).evidence(soft(crop, hair), crop.cut(camera), points).mask


def test_hair_taken_for_a_strap_is_given_back_and_the_headset_is_kept(person: Reference) -> None:
    crop, mask = weighed(person, worn(person.image), hair=0.6)
    assert (mask[part(crop, HAIR)] < COARSE_HEADSET.level).all()
    assert (mask[part(crop, HEADSET)] > 0.9).all()


def test_a_strap_that_the_network_doubted_is_found_in_place_of_the_hair(person: Reference) -> None:
    camera = worn(person.image)
    camera[HAIR] = (38, 36, 35)
    crop, mask = weighed(person, camera, hair=0.25)
    assert (mask[part(crop, HAIR)] > COARSE_HEADSET.level).all()


def test_another_light_is_seen_through(person: Reference) -> None:
    dimmer = np.clip(person.image * np.array([0.5, 0.6, 0.7]), 0, 255).astype(np.uint8)
    crop, mask = weighed(person, worn(dimmer), hair=0.6)
    assert (mask[part(crop, HAIR)] < COARSE_HEADSET.level).mean() > 0.9


def test_a_reference_that_shows_something_else_changes_little(person: Reference) -> None:
    noise = np.random.default_rng(4).integers(0, 256, (16, 16, 3), np.uint8)
    elsewhere = cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)
    other = Reference(np.asarray(elsewhere, np.uint8), person.mesh)
    camera = worn(person.image)
    crop = crop_of_mesh(person.mesh)
    before = soft(crop, 0.6)
    _, mask = weighed(other, camera, hair=0.6)
    assert np.abs(mask - before).max() < 0.12
    assert np.array_equal(mask >= COARSE_HEADSET.level, before >= COARSE_HEADSET.level)


def test_nothing_is_said_of_a_crop_that_the_reference_does_not_show(person: Reference) -> None:
    crop = HeadCrop(np.array([128, 128], np.float32), 250.0)
    before = soft(crop, 0.6)
    far = np.asarray(crop.points_in_crop(person.mesh) + 9.0, np.float32)
    look = BareLook(person)
    after = look.evidence(before, crop.cut(person.image), far)
    assert np.array_equal(after.mask, before)
    whole = (slice(0, SIZE_PX), slice(0, SIZE_PX))
    assert not look.beside(far, after.light, whole)[..., 3].any()
