from __future__ import annotations

import numpy as np
import pytest

from edge.pixel_format import as_bgr

RAMP = np.linspace(0, 255, 12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    "image",
    [
        RAMP,
        RAMP[..., None],
        np.repeat(RAMP[..., None], 3, axis=2),
        np.repeat(RAMP[..., None], 4, axis=2),
        RAMP.astype(np.uint16) * 4,  # 10 bits in 16
        RAMP.astype(np.uint16) << 8,
        RAMP.astype(np.float32) / 255,
    ],
)
def test_every_kind_of_camera_picture_becomes_8_bit_bgr(image: np.ndarray) -> None:
    bgr = as_bgr(image)
    assert bgr is not None
    assert (bgr.shape, bgr.dtype) == ((3, 4, 3), np.uint8)
    assert np.abs(bgr[..., 1].astype(int) - RAMP).max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((3, 4, 2), np.uint8),
        np.zeros((3, 4, 3, 1), np.uint8),
        np.zeros((3, 4, 3), np.int64),
        np.zeros(12, np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(image: np.ndarray) -> None:
    assert as_bgr(image) is None


def test_broken_floats_do_not_leak() -> None:
    bgr = as_bgr(np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float32))
    assert bgr is not None
    assert bgr[..., 0].tolist() == [[0, 255], [0, 127]]
