from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.headset.contract import SIZE_PX
from models.headset.head_crop import REST_SHARE, HeadCrop, crop_of_mesh, eased

PLACES = st.tuples(st.floats(40, 280), st.floats(40, 200))


def dotted(x: float, y: float) -> np.ndarray:
    """A black frame with one soft bright dot."""
    rows, columns = np.mgrid[0:240, 0:320]
    dot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)


@given(PLACES, st.floats(60, 400), st.floats(-1.0, 1.0))
def test_what_is_found_in_a_crop_is_told_in_the_frame(
    place: tuple[float, float], side: float, roll: float
) -> None:
    offset = np.array([0.13, -0.07]) * side
    crop = HeadCrop(np.array(place, np.float32) + offset.astype(np.float32), side, roll)
    grey = crop.cut(dotted(*place))[..., 0].astype(np.float64)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    share = [((v * grey).sum() / grey.sum() + 0.5) / SIZE_PX for v in (columns, rows)]
    found = crop.mesh_in_frame(np.array([[*share, 0.0]], np.float32))[0]
    # Pixel centres are half a pixel from pixel edges.
    assert np.allclose(found[:2] - 0.5, place, atol=max(0.5, 1.5 * side / SIZE_PX))


def test_a_crop_beyond_the_frame_repeats_its_border_and_reaches_into_none_of_it() -> None:
    frame = np.full((48, 64, 3), 77, np.uint8)
    crop = HeadCrop(np.array([500, -300], np.float32), 90.0)
    assert (crop.cut(frame) == 77).all()
    assert not frame[crop.box_in_frame(frame.shape)].size


def test_depth_keeps_the_scale_of_width_and_height() -> None:
    crop = HeadCrop(np.zeros(2, np.float32), 200.0)
    points = crop.mesh_in_frame(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.1]], np.float32))
    across, depth = np.abs(points[1] - points[0])[[0, 2]]
    assert (across, depth) == (pytest.approx(20), pytest.approx(20))


def test_the_crop_of_a_mesh_turns_with_the_eyes(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    straight, rolled = (crop_of_mesh(posed_mesh(roll_deg=angle)) for angle in (0.0, 20.0))
    assert np.degrees(rolled.roll_rad - straight.roll_rad) == pytest.approx(20, abs=2)


def test_the_crop_rests_while_a_head_trembles_and_follows_one_that_moves() -> None:
    crop = HeadCrop(np.array([100, 80], np.float32), 200.0, 3.13)
    still = HeadCrop(crop.centre + np.float32(1), 204.0, -3.14)  # angles jump at a half turn
    rested = eased(crop, still)
    assert np.array_equal(rested.centre, crop.centre)
    assert (rested.side_px, rested.roll_rad) == (crop.side_px, crop.roll_rad)
    far = HeadCrop(crop.centre + np.array([50, 0], np.float32), 240.0, -2.9)
    moved = eased(crop, far)
    assert np.linalg.norm(far.centre - moved.centre) == pytest.approx(REST_SHARE * 200, rel=1e-3)
    assert 228 < moved.side_px < 240
    assert 3.3 < moved.roll_rad < 2 * np.pi - 2.9


def test_pixels_beyond_the_frame_are_not_shown() -> None:
    crop = HeadCrop(np.array([0, 50], np.float32), 40.0)
    shown = crop.shown((100, 100), 40)
    assert shown[:, :19].max() == 0
    assert shown[:, 21:].min() == 1
