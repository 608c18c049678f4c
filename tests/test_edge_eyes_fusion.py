from __future__ import annotations

import numpy as np
import pytest
from eye_views import lids, seen

from edge.eyes.fusion import EyeFusion, eye_statuses
from edge.eyes.measures import aperture, gaze_from_offset, iris_offset
from edge.eyes.reading import openness_of
from edge.profile import EyeCalibration
from streaming.clock import ClockOffset
from streaming.records import EyeParameters, Side, Status

MS = 1_000_000
CALIBRATION = EyeCalibration(closed=0.1, open=0.3)


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
    assert left.age_ns is None
    assert right.openness == pytest.approx(0.25, abs=0.05)  # less what the filter holds back
    assert right.age_ns == 5 * MS


def test_the_newest_observation_holds_until_it_is_too_old() -> None:
    eyes = fusion()
    for side in (Side.RIGHT, Side.LEFT):
        eyes.observe(seen(side, 1000 * MS, 0.2))
    held = eyes.at(1099 * MS)
    assert eye_statuses(held) == ()
    assert held[0].openness == pytest.approx(0.5, abs=0.01)
    stale = eyes.at(1101 * MS)
    assert [eye.age_ns for eye in stale] == [None, None]
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
    assert right.openness == pytest.approx(1.0)


def test_a_time_that_lay_ahead_does_not_keep_out_what_follows() -> None:
    """One stamp an hour ahead, of a clock that was being set, and the eyes were stale for it."""
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(seen(Side.RIGHT, 3_600_000 * MS, 0.3))
    for time_ms in (1010, 1020, 1030):
        eyes.observe(seen(Side.RIGHT, time_ms * MS, 0.2))
    right, _ = eyes.at(1030 * MS)
    assert right.age_ns == 0
    assert right.openness == pytest.approx(0.5, abs=0.01)


def test_another_machines_clock_is_converted() -> None:
    eyes = fusion(ClockOffset(offset_ns=5_000 * MS))
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    assert eyes.at(1000 * MS)[0].age_ns is None
    assert eyes.at(6000 * MS)[0].age_ns == 0


def test_another_machines_clock_is_asked_anew_for_every_observation() -> None:
    offsets = [None, ClockOffset(5_000 * MS), ClockOffset(5_001 * MS)]
    eyes = EyeFusion((CALIBRATION, CALIBRATION), 100 * MS, lambda: offsets.pop(0))
    eyes.observe(seen(Side.RIGHT, 990 * MS, 0.3))  # while the offset is not known
    assert eyes.at(5_990 * MS)[0].age_ns is None
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(seen(Side.RIGHT, 1010 * MS, 0.3))
    right, _ = eyes.at(6_011 * MS)
    assert right.age_ns == 0


def test_parameters_without_images_are_taken_as_they_are() -> None:
    eyes = fusion()
    gaze = np.array([0.2, -0.1], np.float32)
    eyes.observe(EyeParameters(Side.RIGHT, 1000 * MS, 0.4, gaze))
    eyes.observe(EyeParameters(Side.LEFT, 1000 * MS, None, gaze))
    right, left = eyes.at(1000 * MS)
    assert (right.openness, left.openness) == (pytest.approx(0.4), 1.0)
    assert right.gaze == pytest.approx(gaze)
    eyes = fusion()
    eyes.observe(EyeParameters(Side.LEFT, 1010 * MS, 0.0, None))
    closed = eyes.at(1010 * MS)[1]
    assert closed.openness == 0.0
    assert closed.gaze == pytest.approx([0, 0])


def test_parameters_and_images_of_one_eye_share_a_timeline() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3))
    eyes.observe(EyeParameters(Side.RIGHT, 1020 * MS, 0.0, None))
    right, _ = eyes.at(1010 * MS)
    assert right.openness == pytest.approx(0.5, abs=0.1)


def blink_gap(time_s: float, length_s: float) -> float:
    """The gap of an eye that closes and opens again within `length_s`, from time 0 on."""
    if not 0 < time_s < length_s:
        return CALIBRATION.open
    depth = (1 - np.cos(2 * np.pi * time_s / length_s)) / 2
    return float(CALIBRATION.open - (CALIBRATION.open - CALIBRATION.closed) * depth)


def shown_blink(phase_ms: float, camera_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Openness of a 120 ms blink at 500 ms in 30 fps frames: as it is, and as it is shown."""
    eyes = fusion()
    times_ms = camera_ms + np.arange(0, 1000, 1000 / 60)
    frames_ms = 100 + phase_ms + np.arange(0, 800, 1000 / 30)
    shown, arrived = [], 0
    for frame_ms in frames_ms:
        while arrived < len(times_ms) and times_ms[arrived] <= frame_ms:  # none from the future
            at_ms = times_ms[arrived]
            gap = blink_gap((at_ms - 500) / 1000, 0.12)
            eyes.observe(seen(Side.RIGHT, round(at_ms * MS), gap))
            arrived += 1
        shown.append(eyes.at(round(frame_ms * MS))[0].openness)
    truth = [openness_of(blink_gap((t - 500) / 1000, 0.12), CALIBRATION) for t in frames_ms]
    return np.array(truth), np.array(shown)


@pytest.mark.parametrize("phase_ms", [0, 5, 11, 16, 22, 27])
@pytest.mark.parametrize("camera_ms", [0, 4, 8, 12])
def test_a_blink_of_120_ms_keeps_its_depth_and_comes_a_frame_late_at_most(
    phase_ms: float, camera_ms: float
) -> None:
    truth, shown = shown_blink(phase_ms, camera_ms)
    assert 1 - shown.min() >= 0.9
    # The deepest frame follows the deepest moment (560 ms) by one frame and the camera's interval.
    deepest_ms = 100 + phase_ms + int(shown.argmin()) * 1000 / 30
    assert deepest_ms - 560 <= 1000 / 30 + 1000 / 60
    begun, is_shown = int((truth < 0.5).argmax()), int((shown < 0.5).argmax())
    assert is_shown - begun <= 1
    assert shown[-1] > 0.98


def test_a_resting_eye_trembles_less_than_its_camera() -> None:
    eyes = fusion()
    random = np.random.default_rng(0)
    told, shown = [], []
    for index in range(600):
        time_ns = index * 16 * MS
        gap, x = 0.25 + random.normal(0, 0.004), 64 + random.normal(0, 0.4)
        eyes.observe(seen(Side.RIGHT, time_ns, gap, pupil_x=x))
        right, _ = eyes.at(time_ns)
        told.append((openness_of(gap, CALIBRATION), np.arcsin((x - 64) / 100 * 2.5)))
        shown.append((right.openness, float(right.gaze[0])))
    ratio = np.std(shown[60:], axis=0) / np.std(told[60:], axis=0)
    assert (ratio < 0.5).all()


def test_an_eye_that_is_lost_does_as_the_other_does() -> None:
    eyes = fusion()
    for index in range(40):
        time_ns = index * 16 * MS
        eyes.observe(seen(Side.LEFT, time_ns, 0.15, pupil_x=70))
        if index < 10:
            eyes.observe(seen(Side.RIGHT, time_ns, 0.15, pupil_x=70))
        right, left = eyes.at(time_ns)
        assert right.openness == pytest.approx(left.openness, abs=0.02)
        assert right.gaze == pytest.approx(left.gaze, abs=0.02)
    assert eye_statuses((right, left)) == (Status.ONE_EYE,)
    assert right.closing is not None
    assert left.closing is not None
    assert right.closing[:, ::-1] == pytest.approx(left.closing, abs=1e-4)


def test_eyes_that_are_both_lost_open_within_a_third_of_a_second_and_without_a_jump() -> None:
    eyes = fusion()
    shown = []
    for index in range(60):
        time_ns = index * 16 * MS
        if index < 20:
            for side in (Side.RIGHT, Side.LEFT):
                eyes.observe(seen(side, time_ns, CALIBRATION.closed, pupil_x=64))
        shown.append(eyes.at(time_ns)[0].openness)
    lost = 20 + 100 // 16
    assert shown[lost - 1] < 0.05
    assert max(np.diff(shown)) < 0.15
    assert shown[lost + 300 // 16 + 2] == pytest.approx(1.0)
    eyes.observe(seen(Side.RIGHT, 60 * 16 * MS, CALIBRATION.closed))
    returned = [eyes.at((60 * 16 + t) * MS) for t in (1, 50, 99, 101)]
    assert eye_statuses(returned[0]) == (Status.ONE_EYE,)
    assert returned[0][0].openness > 0.9
    assert returned[2][0].openness < 0.1


def test_swapped_cameras_are_put_right_by_the_calibration() -> None:
    swapped = EyeCalibration(closed=0.1, open=0.3, is_swapped=True)
    eyes = EyeFusion((swapped, swapped), 100 * MS)
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.1))
    eyes.observe(seen(Side.LEFT, 1000 * MS, 0.3))
    right, left = eyes.at(1000 * MS)
    assert (right.openness, left.openness) == (pytest.approx(1.0), pytest.approx(0.0))


def test_recentring_stores_an_offset_and_keeps_the_range() -> None:
    eyes = fusion()
    assert eyes.recentre() is None  # nothing was seen yet
    for side in (Side.RIGHT, Side.LEFT):
        eyes.observe(seen(side, 1000 * MS, 0.3, pupil_x=70))
    before = eyes.calibration
    after = eyes.recentre()
    assert after is not None
    assert (after[0].closed, after[0].open, after[0].rest) == (0.1, 0.3, before[0].rest)
    for side in (Side.RIGHT, Side.LEFT):
        eyes.observe(seen(side, 2000 * MS, 0.3, pupil_x=70))
    assert eyes.at(2000 * MS)[0].gaze == pytest.approx([0, 0], abs=1e-5)
    eyes.observe(seen(Side.RIGHT, 3000 * MS, 0.3, pupil_x=95))
    assert eyes.recentre() is None  # nobody looks ahead like that
    assert eyes.calibration == after


def test_a_closed_eye_keeps_the_gaze_it_had() -> None:
    eyes = fusion()
    eyes.observe(seen(Side.RIGHT, 1000 * MS, 0.3, pupil_x=70))
    eyes.observe(seen(Side.RIGHT, 1016 * MS, 0.1, pupil_x=20))
    opened, closed = eyes.at(1000 * MS)[0], eyes.at(1016 * MS)[0]
    assert closed.gaze == pytest.approx(opened.gaze, abs=1e-4)


def test_one_camera_unplugged_for_five_seconds_is_told_and_back_at_its_first_image() -> None:
    eyes = fusion()
    told = []
    for index in range(500):
        time_ns = index * 16 * MS
        eyes.observe(seen(Side.LEFT, time_ns, 0.2))
        if not 100 <= index < 412:
            eyes.observe(seen(Side.RIGHT, time_ns, 0.2))
        shown = eyes.at(time_ns)
        told.append(eye_statuses(shown))
        assert all(eye.age_ns is None or eye.age_ns <= 100 * MS for eye in shown)
        assert all(eye.openness == pytest.approx(0.5, abs=0.02) for eye in shown)
    assert set(told[:100]) == {()}
    assert set(told[107:412]) == {(Status.ONE_EYE,)}
    assert set(told[412:]) == {()}
