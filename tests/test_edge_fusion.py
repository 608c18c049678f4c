from __future__ import annotations

import numpy as np
import pytest

from edge.eyes.fusion import EyeFusion, eye_statuses, openness_of
from edge.eyes.lids import LidMover
from edge.eyes.measures import aperture, gaze_from_offset, iris_offset, mesh_apertures
from edge.profile import EyeCalibration
from edge.records import EyeState
from models.face_mesh import EYES
from streaming.clock import ClockOffset
from streaming.records import EyeObservation, EyeParameters, Float32Array, Side, Status

MS = 1_000_000
CALIBRATION = EyeCalibration(closed=0.1, open=0.3)


def lids(gap: float, width: float = 100.0, turn_rad: float = 0.0) -> Float32Array:
    """Lids whose middle is open by `gap` of the eye's width."""
    x = np.linspace(-width / 2, width / 2, 9)
    half = gap * width / 2 * np.array([0, 0.5, 1, 1, 1, 1, 1, 0.5, 0])
    both = np.stack([np.stack([x, -half], axis=1), np.stack([x, half], axis=1)])
    turn = np.array([[np.cos(turn_rad), -np.sin(turn_rad)], [np.sin(turn_rad), np.cos(turn_rad)]])
    return (both @ turn.T + [64, 48]).astype(np.float32)


def seen(
    side: Side, time_ns: int, gap: float, pupil_x: float = 64.0, confidence: float = 1.0
) -> EyeObservation:
    pupil = np.array([pupil_x, 48, 10, 10, 0], np.float32)
    return EyeObservation(side, time_ns, lids(gap), pupil, pupil * 2, 0.0, confidence)


def fusion(offset: ClockOffset | None = None) -> EyeFusion:
    return EyeFusion((CALIBRATION, CALIBRATION), 100 * MS, offset)


@pytest.mark.parametrize("turn_rad", [0.0, 0.4, -1.0])
def test_the_aperture_does_not_depend_on_how_the_eye_camera_is_turned(turn_rad: float) -> None:
    assert aperture(lids(0.25, turn_rad=turn_rad)) == pytest.approx(0.25, abs=1e-4)


def test_looking_to_the_images_right_and_up_is_positive() -> None:
    offset = iris_offset(lids(0.3), np.array([74, 40], np.float32))
    yaw, pitch = gaze_from_offset(offset, (0.0, 0.0))
    assert yaw == pytest.approx(np.arcsin(0.1 * 2.5), abs=1e-4)
    assert pitch == pytest.approx(np.arcsin(0.08 * 2.5), abs=1e-4)


@pytest.mark.parametrize(("gap", "expected"), [(0.05, 0), (0.1, 0), (0.2, 0.5), (0.3, 1), (0.5, 1)])
def test_openness_is_measured_by_the_wearers_own_range(gap: float, expected: float) -> None:
    assert openness_of(gap, CALIBRATION) == pytest.approx(expected)


def test_between_two_observations_the_eye_is_interpolated() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.10))
    eyes.observe(seen(Side.RIGHT, 1020 * MS, 0.30))
    right, left = eyes.at(1005 * MS)
    assert left is None
    assert right is not None
    assert right.openness == pytest.approx(0.25, abs=0.01)
    assert right.age_ns == 5 * MS


def test_the_newest_observation_holds_until_it_is_too_old() -> None:
    eyes = fusion()
    for side in (Side.RIGHT, Side.LEFT):
        eyes.observe(seen(side, 1000 * MS, 0.2))
    held = eyes.at(1099 * MS)
    assert eye_statuses(held) == ()
    assert held[0] is not None
    assert held[0].openness == pytest.approx(0.5, abs=0.01)
    stale = eyes.at(1101 * MS)
    assert stale == (None, None)
    assert eye_statuses(stale) == (Status.STALE_EYES,)


def test_one_eye_alone_is_told() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.LEFT, 1000 * MS, 0.2))
    assert eye_statuses(eyes.at(1000 * MS)) == (Status.ONE_EYE,)


def test_unsure_and_late_observations_are_left_out() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(seen(Side.RIGHT, 1010 * MS, 0.1, confidence=0.1))
    eyes.observe(seen(Side.RIGHT, 990 * MS, 0.1))
    right, _ = eyes.at(1010 * MS)
    assert right is not None
    assert right.openness == pytest.approx(1.0)


def test_another_machines_clock_is_converted() -> None:
    eyes = fusion(ClockOffset(offset_ns=5_000 * MS))
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    assert eyes.at(1000 * MS)[0] is None
    assert eyes.at(6000 * MS)[0] is not None


def test_another_machines_clock_is_asked_anew_for_every_observation() -> None:
    offsets = [None, ClockOffset(5_000 * MS), ClockOffset(5_001 * MS)]
    eyes = EyeFusion((CALIBRATION, CALIBRATION), 100 * MS, lambda: offsets.pop(0))
    eyes.observe(seen(Side.RIGHT, 990 * MS, 0.3))  # while the offset is not known
    assert eyes.at(5_990 * MS)[0] is None
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(seen(Side.RIGHT, 1010 * MS, 0.3))
    right, _ = eyes.at(6_011 * MS)
    assert right is not None
    assert right.age_ns == 0


def test_parameters_without_images_are_taken_as_they_are() -> None:
    eyes = fusion()
    gaze = np.array([0.2, -0.1], np.float32)
    eyes.observe(EyeParameters(Side.RIGHT, 1000 * MS, 0.4, gaze))
    eyes.observe(EyeParameters(Side.LEFT, 1000 * MS, None, gaze))
    right, left = eyes.at(1000 * MS)
    assert right is not None
    assert left is not None
    assert (right.openness, left.openness) == (pytest.approx(0.4), 1.0)
    assert right.gaze == pytest.approx(gaze)
    eyes.observe(EyeParameters(Side.LEFT, 1010 * MS, 0.0, None))
    closed = eyes.at(1010 * MS)[1]
    assert closed is not None
    assert closed.openness == 0.0
    assert closed.gaze == pytest.approx([0, 0])


def test_parameters_and_images_of_one_eye_share_a_timeline() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(EyeParameters(Side.RIGHT, 1020 * MS, 0.0, None))
    right, _ = eyes.at(1010 * MS)
    assert right is not None
    assert right.openness == pytest.approx(0.5, abs=0.01)


def test_a_reset_forgets_the_former_wearers_eyes() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.reset()
    assert eyes.at(1000 * MS) == (None, None)


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
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.1), (None, None))
    assert mesh_apertures(moved) == pytest.approx((0.3, 0.3), abs=0.01)
    assert moved[EYES[0].iris_centre, :2] == pytest.approx([64, 48], abs=1e-3)


def test_the_iris_is_drawn_where_the_gaze_was_measured() -> None:
    gaze = gaze_from_offset(np.array([0.1, 0.0], np.float32), (0.0, 0.0))
    states = eye_state(Side.RIGHT, 1.0, float(gaze[0])), eye_state(Side.LEFT, 1.0)
    moved = LidMover(eyes_mesh(0.3)).move(eyes_mesh(0.3), states)
    assert moved[EYES[0].iris_centre, 0] == pytest.approx(74, abs=0.1)
    assert moved[EYES[1].iris_centre, 0] == pytest.approx(264, abs=0.1)
