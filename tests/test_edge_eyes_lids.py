from __future__ import annotations

import numpy as np
import pytest
from eye_views import lids

from edge.eyes.fusion import neutral_eyes
from edge.eyes.lid_shape import closed_heights, closing_along, closing_of, lid_heights
from edge.eyes.lids import LidMover
from edge.eyes.measures import gaze_from_offset, mesh_apertures
from edge.records import EyeState
from models.face.mesh import EYES
from streaming.records import Float32Array, Side


def eye_state(side: Side, openness: float, yaw: float = 0.0) -> EyeState:
    return EyeState(side, openness, np.array([yaw, 0.0], np.float32), 0)


def eyes_mesh(gap: float) -> Float32Array:
    mesh = np.zeros((478, 3), np.float32)
    for eye, x in zip(EYES, (0.0, 200.0), strict=True):
        mesh[list(eye.upper_lid), :2], mesh[list(eye.lower_lid), :2] = lids(gap) + np.array([x, 0])
        mesh[[eye.iris_centre, *eye.iris_ring], :2] = [64 + x, 48]
    return mesh


def test_hidden_lids_follow_each_eye_camera() -> None:
    mover = LidMover(eyes_mesh(0.3))
    states = eye_state(Side.RIGHT, 0.0), eye_state(Side.LEFT, 1.0)
    moved = mover.move(eyes_mesh(0.2), states)
    right, left = mesh_apertures(moved)
    assert right < 0.1
    assert left == pytest.approx(0.3, abs=0.01)


def test_an_eye_that_is_not_seen_is_drawn_open_and_still() -> None:
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.1), neutral_eyes())
    assert mesh_apertures(moved) == pytest.approx((0.3, 0.3), abs=0.01)
    assert moved[EYES[0].iris_centre, :2] == pytest.approx([64, 48], abs=1e-3)


def test_the_iris_is_drawn_where_the_gaze_was_measured() -> None:
    gaze = gaze_from_offset(np.array([0.1, 0.0], np.float32), (0.0, 0.0))
    states = eye_state(Side.RIGHT, 1.0, float(gaze[0])), eye_state(Side.LEFT, 1.0)
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.3), states)
    assert moved[EYES[0].iris_centre, 0] == pytest.approx(74, abs=0.1)
    assert moved[EYES[1].iris_centre, 0] == pytest.approx(264, abs=0.1)


def test_a_closed_eye_is_closed_along_its_whole_length() -> None:
    states = eye_state(Side.RIGHT, 0.0), eye_state(Side.LEFT, 0.0)
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.25), states)
    for eye in EYES:
        upper, lower = moved[list(eye.upper_lid), 1], moved[list(eye.lower_lid), 1]
        assert (lower - upper).max() < 0.35 * 30  # of a gap of 30 px
        assert upper[0] == lower[0]


def test_both_eyes_close_alike_and_mirrored() -> None:
    states = eye_state(Side.RIGHT, 0.2), eye_state(Side.LEFT, 0.2)
    mesh = eyes_mesh(0.3)
    moved = LidMover(mesh).move(mesh, states) - mesh
    right, left = (moved[list(eye.upper_lid), :2] for eye in EYES)
    assert right[::-1] == pytest.approx(left * [-1, 1], abs=1e-3)


def test_a_lid_that_hangs_on_one_side_is_drawn_so() -> None:
    closing = np.zeros((2, 9), np.float32)
    closing[0] = np.linspace(0.6, 0.0, 9)
    hanging = EyeState(Side.RIGHT, 0.7, np.zeros(2, np.float32), 0, closing)
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.3), (hanging, eye_state(Side.LEFT, 1.0)))
    gap = moved[list(EYES[0].lower_lid), 1] - moved[list(EYES[0].upper_lid), 1]
    assert gap[2] < 0.8 * gap[6]


@pytest.mark.parametrize("turn_rad", [0.0, 0.3])
@pytest.mark.parametrize("width", [60.0, 110.0])
@pytest.mark.parametrize("closed", [0.0, 0.5, 1.0])
def test_how_far_lids_have_closed_does_not_depend_on_the_cameras_place(
    closed: float, width: float, turn_rad: float
) -> None:
    opened = lid_heights(lids(0.3))
    shut = lid_heights(lids(0.02))
    now = lid_heights(lids(0.3 - 0.28 * closed, width, turn_rad))
    lines = closing_of(now, opened, shut)
    assert lines[:, 0] == pytest.approx([closed, closed], abs=0.02)
    assert closing_along(lines) == pytest.approx(np.full((2, 9), closed), abs=0.05)


def test_unseen_closed_lids_meet_near_the_lower_one() -> None:
    opened = lid_heights(lids(0.3))
    upper, lower = closed_heights(opened)
    assert (upper == lower).all()
    assert opened[1, 4] > lower[4] > 0
