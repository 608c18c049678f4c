from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.headset.contract import MASK_PX, SIZE_PX
from models.headset.outline import (
    LEVEL,
    RADIUS_PX,
    SMOOTHNESS,
    sharpened,
    without_specks,
)


def test_small_islands_of_the_outline_are_dropped() -> None:
    mask = np.zeros((MASK_PX, MASK_PX), np.float32)
    mask[20:40, 20:80] = 0.9
    mask[70:72, 5:8] = 0.8
    cleaned = without_specks(mask)
    assert cleaned[71, 6] == 0
    assert np.array_equal(cleaned[:60], mask[:60])


def test_an_unsure_outline_is_drawn_to_the_edge_of_the_picture() -> None:
    crop = np.full((SIZE_PX, SIZE_PX, 3), 190, np.uint8)
    truth = np.zeros((SIZE_PX, SIZE_PX), bool)
    truth[60:120, 40:150] = True
    crop[truth] = 40
    # Unsure over some pixels, and one pixel of the mask (two of the crop) too far down.
    soft = truth.reshape(MASK_PX, 2, MASK_PX, 2).mean(axis=(1, 3)).astype(np.float32)
    soft = np.roll(cv2.GaussianBlur(soft, (0, 0), 1.5), 1, axis=0)
    plain = cv2.resize(soft, (SIZE_PX, SIZE_PX)) >= LEVEL
    drawn = sharpened(soft, crop) >= LEVEL
    assert (drawn != truth).sum() < 0.8 * (plain != truth).sum()


def test_an_even_picture_changes_little_and_an_empty_mask_stays_empty() -> None:
    crop = np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8)
    mask = np.zeros((MASK_PX, MASK_PX), np.float32)
    assert sharpened(mask, crop).max() == 0
    mask[30:60, 20:70] = 1
    assert (sharpened(mask, crop) >= LEVEL).sum() == pytest.approx(30 * 50 * 4, rel=0.1)


def test_filtering_only_around_the_outline_finds_the_same_outline() -> None:
    random = np.random.default_rng(3)
    crop = random.integers(0, 256, (SIZE_PX, SIZE_PX, 3), np.uint8)
    mask = 0.008 * random.random((MASK_PX, MASK_PX)).astype(np.float32)
    mask[40:62, 12:80] = random.uniform(0.2, 1, (22, 68))
    everywhere = cv2.resize(mask, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
    guide = crop.astype(np.float32) / 255
    whole = cv2.ximgproc.guidedFilter(guide, everywhere, RADIUS_PX, SMOOTHNESS)
    found = sharpened(mask, crop)
    assert np.array_equal(found >= LEVEL, whole >= LEVEL)
    assert np.abs(found - whole).max() < 0.05
