from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.face.alignment import (
    MAX_LAG,
    OVAL_CENTRE,
    OVAL_HEIGHT,
    OVAL_WIDTH,
    BoxSmoother,
    HeadBox,
    crop_from_mesh,
    cut_crop,
    frame_from_box,
    head_box,
    mesh_to_crop,
    upright_box,
)
from models.face.mesh import FACE_OVAL


def oval_mesh(centre: tuple[float, float], width: float, height: float) -> NDArray[np.float32]:
    """A mesh whose face oval is an ellipse and whose other points lie in its middle."""
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, :2] = centre
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, len(FACE_OVAL))
    mesh[list(FACE_OVAL), 0] += width / 2 * np.cos(angles)
    mesh[list(FACE_OVAL), 1] += height / 2 * np.sin(angles)
    return mesh


def test_the_crop_frames_a_head_as_the_training_clips_do() -> None:
    side = 300.0
    mesh = oval_mesh((400, 300), OVAL_WIDTH * side, OVAL_HEIGHT * side)
    in_crop = mesh_to_crop(mesh, crop_from_mesh(mesh, 128))[list(FACE_OVAL), :2]
    low, high = in_crop.min(axis=0), in_crop.max(axis=0)
    assert (high - low) / 128 == pytest.approx([OVAL_WIDTH, OVAL_HEIGHT], abs=0.01)
    assert (high + low) / 256 == pytest.approx(OVAL_CENTRE, abs=0.01)


@given(st.floats(-50, 250), st.floats(-50, 250), st.floats(8, 400), st.sampled_from([32, 128, 256]))
def test_an_upright_box_survives_the_trip_through_its_matrix(
    x: float, y: float, side: float, size: int
) -> None:
    box = HeadBox(np.array([x, y], np.float32), side)
    left, top, whole_side = upright_box(frame_from_box(box, size), size)
    assert abs(whole_side - side) <= 0.5
    assert abs(left + whole_side / 2 - x) <= 0.51
    assert abs(top + whole_side / 2 - y) <= 0.51


def test_a_marked_pixel_lands_where_the_matrix_says() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[120:124, 160:164] = 255
    frame_from_crop = frame_from_box(HeadBox(np.array([150, 110], np.float32), 128.0), 32)
    crop = cut_crop(frame, frame_from_crop, 32)
    y, x = np.unravel_index(crop[..., 0].argmax(), (32, 32))
    assert frame_from_crop @ [x, y, 1] == pytest.approx([161.5, 121.5], abs=2.1)
    points = np.array([[161.5, 121.5, 8.0]], np.float32)
    assert mesh_to_crop(points, frame_from_crop)[0] == pytest.approx([x, y, 2.0], abs=0.6)


def test_beyond_the_frame_its_border_is_repeated() -> None:
    frame = np.full((40, 40), 7, np.uint8)
    crop = cut_crop(frame, frame_from_box(HeadBox(np.array([0, 0], np.float32), 60.0), 16), 16)
    assert (crop == 7).all()


def test_the_box_moves_slowly_but_never_loses_the_head() -> None:
    smoother = BoxSmoother()
    start = HeadBox(np.array([100, 100], np.float32), 100.0)
    assert smoother.follow(start, 0) == start
    near = HeadBox(np.array([104, 100], np.float32), 100.0)
    moved = smoother.follow(near, 40_000_000)
    assert 100 < moved.centre[0] < 101
    far = HeadBox(np.array([300, 100], np.float32), 100.0)
    assert smoother.follow(far, 80_000_000).centre[0] >= 300 - MAX_LAG * 100 - 0.01


@pytest.mark.parametrize("side_px", [16.0, 1500.0])
def test_another_head_gets_a_box_of_its_own_size(side_px: float) -> None:
    """Its crop stayed that of the head before for seconds; a face far behind was lost in it."""
    smoother = BoxSmoother()
    smoother.follow(HeadBox(np.array([300, 300], np.float32), 600.0), 0)
    other = HeadBox(np.array([320, 300], np.float32), side_px)
    assert smoother.follow(other, 33_000_000) == other
    like = HeadBox(np.array([320, 300], np.float32), 1.5 * side_px)
    assert smoother.follow(like, 66_000_000).side_px == pytest.approx(side_px, rel=0.02)


def test_after_a_reset_the_box_is_taken_as_it_is() -> None:
    smoother = BoxSmoother()
    smoother.follow(HeadBox(np.array([100, 100], np.float32), 100.0), 0)
    smoother.reset()
    fresh = head_box(oval_mesh((10, 20), 50, 60))
    assert smoother.follow(fresh, 1) == fresh
