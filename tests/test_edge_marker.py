from __future__ import annotations

import numpy as np
import pytest
from marker_views import View, draw, view

from edge.marker.detector import MarkerDetector, read_marker
from edge.marker.pose import nominal_lens, refined_pose, square_poses
from streaming.errors import UserError

MARKERS = ("aruco:7", "apriltag:3")


def frame(seen: View, *names: str, blur_px: float = 0.5) -> np.ndarray:
    image = np.random.default_rng(1).normal(60, 3, (480, 640, 3)).clip(0, 255).astype(np.uint8)
    for name in names:
        draw(image, seen, read_marker(name), blur_px)  # type: ignore[arg-type]
    return image


def detector(name: str) -> MarkerDetector:
    choice = read_marker(name)
    assert choice is not None
    return MarkerDetector(choice)


@pytest.mark.parametrize("name", MARKERS)
@pytest.mark.parametrize("yaw_deg", [-25, 0, 25])
def test_corners_are_found_to_a_tenth_of_a_pixel(name: str, yaw_deg: float) -> None:
    seen = view(yaw_deg, 8, 12)
    (corners,) = detector(name).find(frame(seen, name))
    assert np.abs(corners - seen.corners()).max() < 0.1


def test_a_large_frame_is_looked_at_smaller_but_measured_at_full_size() -> None:
    seen = view(10, 5, 3, place=(0.2, 0.05, 0.6))
    seen = View(seen.rotation, seen.place, seen.marker_turn, 1300.0, (1280, 960))
    image = np.full((960, 1280, 3), 60, np.uint8)
    draw(image, seen, read_marker("aruco:7"), 0.7)  # type: ignore[arg-type]
    (corners,) = detector("aruco:7").find(image)
    assert np.abs(corners - seen.corners()).max() < 0.15


def test_only_the_neighbourhood_is_looked_at() -> None:
    seen = view(10, 5)
    image, middle = frame(seen, "aruco:7"), seen.corners().mean(axis=0)
    (corners,) = detector("aruco:7").find(image, middle + 20, 80)
    assert np.abs(corners - seen.corners()).max() < 0.1
    assert detector("aruco:7").find(image, middle + 200, 80) == []
    assert detector("aruco:7").find(image, np.array([-900.0, 5000.0]), 80) == []


@pytest.mark.parametrize("other", ["aruco:8", "apriltag:7"])
def test_another_marker_is_ignored(other: str) -> None:
    assert detector("aruco:7").find(frame(view(), other)) == []


def test_of_two_markers_the_chosen_one_is_found() -> None:
    left, right = view(place=(-0.12, 0, 0.6)), view(place=(0.12, 0, 0.6))
    image = frame(left, "aruco:8")
    draw(image, right, read_marker("aruco:7"), 0.5)  # type: ignore[arg-type]
    (corners,) = detector("aruco:7").find(image)
    assert np.abs(corners - right.corners()).max() < 0.1


def test_both_copies_of_one_marker_are_told() -> None:
    image = frame(view(place=(-0.12, 0, 0.6)), "aruco:7")
    draw(image, view(place=(0.12, 0, 0.6)), read_marker("aruco:7"), 0.5)  # type: ignore[arg-type]
    assert len(detector("aruco:7").find(image)) == 2


def test_a_half_covered_or_very_blurred_marker_is_not_seen() -> None:
    seen = view()
    image = frame(seen, "aruco:7")
    x, y = seen.corners().mean(axis=0).astype(int)
    image[y - 40 : y + 40, x : x + 60] = 90
    assert detector("aruco:7").find(image) == []
    assert detector("aruco:7").find(frame(seen, "aruco:7", blur_px=9)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 200, 3), (480, 640, 3)])
def test_frames_without_a_marker_give_none(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert detector("aruco:7").find(noise) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aruco:999", "0 to 49"),
        ("apriltag:587", "0 to 586"),
        ("qr:1", "aruco:ID or apriltag:ID"),
        ("aruco:", "aruco:ID"),
        ("aruco:-1", "aruco:ID"),
        ("7", "aruco:ID"),
    ],
)
def test_a_marker_that_does_not_exist_is_told_with_those_that_do(text: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        read_marker(text)
    assert told in str(raised.value)
    assert repr(text) in str(raised.value)


def test_no_marker_is_a_choice_too() -> None:
    assert read_marker("") is None


def test_one_of_the_two_poses_of_a_square_is_the_true_one() -> None:
    seen = view(20, -10, 5)
    lens = nominal_lens((480, 640, 3))
    exact = View(seen.rotation, seen.place, seen.marker_turn, lens.focal_px)
    poses = square_poses(lens.rays(exact.corners()))
    # The marker's y runs up and its z out of it; the head's run down and inwards.
    true = exact.rotation @ exact.marker_turn @ np.diag([1.0, -1.0, -1.0])
    turned = [np.abs(pose.camera_from_marker - true).max() for pose in poses]
    assert min(turned) < 1e-3
    assert len(poses) == 2


def test_points_fixed_to_the_marker_make_its_pose_exact() -> None:
    seen = view(3, -2, 5)
    lens = nominal_lens((480, 640, 3))
    exact = View(seen.rotation, seen.place, seen.marker_turn, lens.focal_px)
    noise = np.random.default_rng(2).normal(0, 0.3, (4, 2))
    start, *_ = square_poses(lens.rays(exact.corners() + noise))
    true = exact.rotation @ exact.marker_turn @ np.diag([1.0, -1.0, -1.0])
    points = np.random.default_rng(3).normal(0, 2, (40, 3)) - [0, 0, 3]
    place = np.linalg.norm(start.place) * lens.rays(exact.corners()).mean(axis=0)
    there = np.array([*place, start.place[2]])
    seen_points = points @ true.T + there
    rays = seen_points[:, :2] / seen_points[:, 2:]
    pose, _ = refined_pose(start, points, rays, np.full(40, 1e-3))
    assert np.abs(pose.camera_from_marker - true).max() < 1e-3
