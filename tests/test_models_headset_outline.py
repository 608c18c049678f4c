from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.headset import outline
from models.headset.contract import MASK_PX
from models.headset.head_crop import HeadCrop
from models.headset.outline import COARSE_HEADSET, Drawing, outline_in_frame, without_specks

HEADSET = np.s_[80:150, 60:190]


def crop_of(side_px: float, roll_rad: float = 0.0) -> HeadCrop:
    return HeadCrop(np.array([127.5, 127.5], np.float32), side_px, roll_rad)


def mask_of(crop: HeadCrop, truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a network would say of a crop of it."""
    cut = crop.cut(cv2.merge([truth * np.uint8(255)] * 3))[..., 0]
    small = cv2.resize(cut, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255


def scene() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame with a dark headset, and where it is."""
    image, truth = np.full((256, 256, 3), 190, np.uint8), np.zeros((256, 256), np.uint8)
    image[HEADSET], truth[HEADSET] = 40, 1
    return image, truth


def test_small_islands_of_the_outline_are_dropped() -> None:
    mask = np.zeros((MASK_PX, MASK_PX), np.float32)
    mask[20:40, 20:80] = 0.9
    mask[70:72, 5:8] = 0.8
    cleaned = without_specks(mask, 0.5)
    assert cleaned[71, 6] == 0
    assert np.array_equal(cleaned[:60], mask[:60])


def test_an_unsure_outline_is_drawn_to_the_edge_of_the_picture() -> None:
    image, truth = scene()
    crop = crop_of(280.0)
    # Unsure over some pixels, and one of the mask (three of the frame) too far down.
    soft = np.roll(cv2.GaussianBlur(mask_of(crop, truth), (0, 0), 1.5), 1, axis=0)
    plain = outline_in_frame(soft, crop, np.full_like(image, 90))
    drawn = outline_in_frame(soft, crop, image)
    assert (drawn != truth).sum() < 0.7 * (plain != truth).sum()


@given(st.floats(60, 400), st.floats(-0.6, 0.6))
def test_a_mask_comes_back_where_it_was_cut(side: float, roll: float) -> None:
    image, truth = scene()
    crop = crop_of(side, roll)
    back = outline_in_frame(mask_of(crop, truth), crop, image, Drawing(level=0.5))
    corners = crop.frame_from_share @ np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]])
    inside = np.zeros(truth.shape, np.uint8)
    cv2.fillConvexPoly(inside, corners.T.round().astype(np.int32), 1.0)
    wrong = (back != truth) & (cv2.erode(inside, np.ones((9, 9), np.uint8)) > 0)
    assert wrong.sum() <= 400 * max(1.0, side / MASK_PX / 2)  # the rims, no more


def test_an_empty_mask_stays_empty_and_so_does_what_lies_beyond_the_frame() -> None:
    image, _ = scene()
    nothing = np.zeros((MASK_PX, MASK_PX), np.float32)
    assert not outline_in_frame(nothing, crop_of(200.0), image).any()
    beyond = HeadCrop(np.array([900.0, 100.0], np.float32), 200.0)
    assert not outline_in_frame(nothing + 1, beyond, image).any()


def test_a_face_that_fills_a_large_frame_is_filtered_at_a_smaller_size() -> None:
    _, truth = scene()
    large, wanted = (cv2.resize(i, (1024, 1024), interpolation=cv2.INTER_NEAREST) for i in scene())
    crop = HeadCrop(np.array([511.5, 511.5], np.float32), 4 * 250.0)
    assert crop.side_px > COARSE_HEADSET.most_px
    found = outline_in_frame(mask_of(crop_of(250.0), truth), crop, np.asarray(large, np.uint8))
    both, either = (found & wanted).sum(), (found | wanted).sum()
    assert both / either > 0.97


def test_filtering_only_around_the_outline_finds_the_same_outline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (256, 256, 3), np.uint8)
    mask = 0.008 * random.random((MASK_PX, MASK_PX)).astype(np.float32)
    mask[40:62, 12:80] = random.uniform(0.2, 1, (22, 68))
    found = outline_in_frame(mask, crop_of(250.0), image)
    whole = (slice(None), slice(None))
    monkeypatch.setattr(outline, "_around", lambda soft, radius: whole)
    assert np.array_equal(found, outline_in_frame(mask, crop_of(250.0), image))
