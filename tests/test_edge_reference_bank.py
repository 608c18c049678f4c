from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import MeshMaker

from edge.profile import MAX_STORED_PX
from edge.reference_bank import LEAST_STORED_PX, choose_bank, view_of
from edge.reference_choice import profile_from_frames

FRAME = (480, 640, 3)
POSES = (0.0, 0.2, 20.0, 20.2, -20.0, 0.1)


def frames_and_meshes(posed_mesh: MeshMaker) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(0)
    frames = [random.integers(90, 110, FRAME, np.uint8) for _ in POSES]
    meshes = [posed_mesh(yaw_deg=yaw, centre=(320.0, 240.0)) for yaw in POSES]
    return frames, np.stack(meshes)


def test_views_are_spread_over_poses_and_keep_a_blink(posed_mesh: MeshMaker) -> None:
    frames, meshes = frames_and_meshes(posed_mesh)
    meshes[5] = posed_mesh(closed=1.0, centre=(320.0, 240.0))
    openness = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    views = choose_bank(frames, meshes, 0, openness)
    assert views[:2] == [0, 5]
    assert 4 in views
    assert len({2, 3} & set(views)) == 1  # two of the same pose
    assert 1 not in views


def test_blurred_and_oddly_lit_frames_are_no_views(posed_mesh: MeshMaker) -> None:
    frames, meshes = frames_and_meshes(posed_mesh)
    frames[4] = frames[4] // 3
    frames[2] = np.asarray(cv2.GaussianBlur(frames[2], (0, 0), 3), np.uint8)
    views = choose_bank(frames, meshes, 0, np.ones(6))
    assert 3 in views
    assert not {2, 4} & set(views)


@pytest.mark.parametrize(("span_px", "stored_px"), [(20.0, LEAST_STORED_PX), (400.0, 512)])
def test_views_are_stored_as_the_camera_resolved_them_within_limits(
    span_px: float, stored_px: int, posed_mesh: MeshMaker
) -> None:
    mesh = posed_mesh(centre=(320.0, 240.0), span_px=span_px)
    assert len(view_of(np.zeros(FRAME, np.uint8), mesh).image) == stored_px
    assert stored_px <= MAX_STORED_PX


def test_a_face_of_between_is_neither_enlarged_nor_made_smaller(posed_mesh: MeshMaker) -> None:
    frame = np.random.default_rng(1).integers(0, 256, FRAME, np.uint8)
    mesh = posed_mesh(centre=(320.0, 240.0), span_px=60.0)
    view = view_of(frame, mesh)
    assert LEAST_STORED_PX < len(view.image) < MAX_STORED_PX
    offset = np.rint(mesh[0, :2] - view.mesh[0, :2]).astype(int)
    size = len(view.image)
    cut = frame[offset[1] : offset[1] + size, offset[0] : offset[0] + size]
    assert np.array_equal(view.image, cut)


def test_a_profile_keeps_the_frontal_view_first(posed_mesh: MeshMaker) -> None:
    frames, meshes = frames_and_meshes(posed_mesh)
    profile = profile_from_frames([frames[0]] * len(POSES), meshes)
    assert len(profile.references) >= 2
    assert abs(POSES[int(profile.quality["frame_index"])]) < 1
    first = profile.references[0]
    frontal = view_of(frames[0], meshes[int(profile.quality["frame_index"])])
    assert np.abs(first.mesh[:, 2] - frontal.mesh[:, 2]).max() < 3
