"""The simulated headset: what it hides, and what it leaves alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hmd_capture.head_pose import head_pose
from hmd_capture.headset_style import STYLES
from hmd_capture.simulated import SimulatedHeadset
from models.face.mesh import EYES
from models.headset.box import headset_box

MODELS = [*sorted(STYLES), None]
POSES = [(0, 0, 0), (25, 0, 0), (-40, 5, 10), (0, 20, -15), (10, -20, 30)]


@pytest.fixture(scope="module")
def cutouts(tmp_path_factory):
    """A folder with one drawn headset, seen from two sides."""
    folder = tmp_path_factory.mktemp("cutouts")
    for yaw, colour in ((0, (200, 60, 60)), (30, (60, 200, 60))):
        picture = np.zeros((160, 160, 4), np.uint8)
        cv2.ellipse(picture, (80, 80), (70, 44), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
        cv2.imwrite(str(folder / f"round_y{yaw:+03d}_p+00.png"), picture)
    return folder


def outside_of(mask, image):
    return image[mask == 0]


def middle_of(mask):
    return np.argwhere(mask).mean(axis=0)[::-1]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("pose", POSES)
def test_mask_is_exactly_where_the_frame_changed(model, pose, posed_mesh, textured_image):
    worn = SimulatedHeadset(model, seed=3).wear(textured_image, posed_mesh(*pose))
    changed = (worn.camera != textured_image).any(axis=2)
    assert changed.any()
    np.testing.assert_array_equal(worn.hidden.astype(bool), changed)
    assert set(np.unique(worn.hidden)) == {0, 1}


def test_mask_is_exact_on_frames_of_the_headsets_own_colours(posed_mesh):
    for grey in (0, 24, 30, 200, 255):
        bare = np.full((256, 256, 3), grey, np.uint8)
        worn = SimulatedHeadset("goggles", seed=1).wear(bare, posed_mesh())
        changed = (worn.camera != bare).any(axis=2)
        np.testing.assert_array_equal(worn.hidden.astype(bool), changed)


def test_cutouts_hide_exactly_what_they_change(cutouts, posed_mesh, textured_image):
    worn = SimulatedHeadset(cutouts, seed=0).wear(textured_image, posed_mesh())
    changed = (worn.camera != textured_image).any(axis=2)
    np.testing.assert_array_equal(worn.hidden.astype(bool), changed)
    for eye in EYES:
        x, y = posed_mesh()[eye.iris_centre, :2].round().astype(int)
        assert worn.hidden[y, x] == 1


def test_cutouts_show_the_view_nearest_to_the_heads_turn(cutouts, posed_mesh, textured_image):
    headset = SimulatedHeadset(cutouts / "round", seed=0)
    for yaw_deg, channel in ((0, 0), (40, 1)):
        worn = headset.wear(textured_image, posed_mesh(yaw_deg))
        x, y = middle_of(worn.hidden).round().astype(int)
        assert worn.camera[y, x].argmax() == channel


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("pose", POSES)
def test_mask_covers_the_protocols_box(model, pose, posed_mesh, textured_image):
    mesh = posed_mesh(*pose)
    worn = SimulatedHeadset(model, seed=5).wear(textured_image, mesh)
    box = np.zeros((256, 256), np.uint8)
    cv2.fillConvexPoly(box, headset_box(mesh).corners().astype(np.int32), 1)
    assert box.any()
    assert not (box.astype(bool) & (worn.hidden == 0)).any()


@pytest.mark.parametrize("model", MODELS)
def test_mouth_and_chin_stay_visible(model, canonical_mesh, textured_image):
    worn = SimulatedHeadset(model, seed=2).wear(textured_image, canonical_mesh)
    for index in (13, 14, 17, 61, 291, 152):
        x, y = canonical_mesh[index, :2].round().astype(int)
        assert worn.hidden[y, x] == 0, index


def test_truth_is_the_bare_frame_and_is_not_written_to(canonical_mesh, textured_image):
    before = textured_image.copy()
    worn = SimulatedHeadset("visor").wear(textured_image, canonical_mesh, capture_time_ns=12)
    np.testing.assert_array_equal(worn.truth, before)
    np.testing.assert_array_equal(textured_image, before)
    assert worn.capture_time_ns == 12
    assert [seen.capture_time_ns for seen in worn.observations] == [12, 12]
    assert [image.frame_id for image in worn.eye_images(5)] == [5, 5]


def test_same_seed_gives_the_same_pixels_and_another_seed_others(posed_mesh, textured_image):
    runs = []
    for seed in (4, 4, 5):
        headset = SimulatedHeadset(seed=seed)
        worn = [headset.wear(textured_image, posed_mesh(yaw)) for yaw in (0, 10)]
        runs.append([array for w in worn for array in (w.camera, w.hidden, *w.eyes)])
    for first, second in zip(runs[0], runs[1], strict=True):
        np.testing.assert_array_equal(first, second)
    assert any(not np.array_equal(a, b) for a, b in zip(runs[0], runs[2], strict=True))


@pytest.mark.parametrize("shift", [(20, 0), (0, 25), (-15, -10)])
def test_headset_moves_with_the_face(shift, posed_mesh, textured_image):
    headset = SimulatedHeadset("box", seed=0)
    still = headset.wear(textured_image, posed_mesh(centre=(128, 120), span_px=50)).hidden
    moved_mesh = posed_mesh(centre=(128 + shift[0], 120 + shift[1]), span_px=50)
    moved = headset.wear(textured_image, moved_mesh).hidden
    np.testing.assert_allclose(middle_of(moved) - middle_of(still), shift, atol=1.0)


def test_headset_sticks_out_towards_where_the_head_turns(posed_mesh, textured_image):
    headset = SimulatedHeadset("box", seed=0)
    right, left = (
        middle_of(headset.wear(textured_image, posed_mesh(yaw, span_px=50)).hidden)[0]
        for yaw in (30, -30)
    )
    assert right - left > 10


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 15, 0), (0, -15, 0)])
def test_pose_is_read_back_from_a_posed_mesh(pose, posed_mesh):
    found = head_pose(posed_mesh(*pose))
    assert (found.yaw_deg, found.pitch_deg) == pytest.approx(pose[:2], abs=0.5)
    assert found.span_px == pytest.approx(80, rel=0.01)


def test_roll_is_read_back_from_a_rolled_mesh(posed_mesh):
    assert head_pose(posed_mesh(0, 0, 20)).roll_deg == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2), (30, 40), (2160, 3840)])
def test_any_frame_size_is_dressed(shape, posed_mesh):
    height, width = shape
    bare = np.full((height, width, 3), 120, np.uint8)
    mesh = posed_mesh(centre=(width / 2, height / 2), span_px=max(0.3 * width, 0.5))
    worn = SimulatedHeadset("visor").wear(bare, mesh)
    assert worn.camera.shape == bare.shape
    assert worn.hidden[height // 2, width // 2] == 1
    assert [eye.shape for eye in worn.eyes] == [(96, 128)] * 2


@pytest.mark.parametrize("centre", [(0, 115), (255, 115), (128, 0), (128, 250), (-30, -30)])
def test_faces_partly_outside_the_frame_are_dressed(centre, posed_mesh, textured_image):
    worn = SimulatedHeadset("goggles").wear(textured_image, posed_mesh(centre=centre))
    changed = (worn.camera != textured_image).any(axis=2)
    assert changed.any()
    np.testing.assert_array_equal(worn.hidden.astype(bool), changed)
    assert min(seen.confidence for seen in worn.observations) < 1.0


@pytest.mark.parametrize("centre", [(5000, 100), (-3000, -3000)])
def test_a_face_outside_the_frame_hides_nothing(centre, posed_mesh, textured_image):
    worn = SimulatedHeadset().wear(textured_image, posed_mesh(centre=centre))
    assert not worn.hidden.any()
    assert [seen.confidence for seen in worn.observations] == [0.0, 0.0]


@pytest.mark.parametrize("span_px", [0.01, 1.0, 4.0])
def test_tiny_faces_are_dressed(span_px, posed_mesh, textured_image):
    worn = SimulatedHeadset().wear(textured_image, posed_mesh(span_px=span_px))
    assert 0 < worn.hidden.sum() < 600


@pytest.mark.parametrize("yaw_deg", [85, 90, 95, 180])
def test_profiles_and_backs_of_heads_lose_their_eyes_but_do_not_fail(
    yaw_deg, posed_mesh, textured_image
):
    worn = SimulatedHeadset().wear(textured_image, posed_mesh(yaw_deg))
    assert min(seen.confidence for seen in worn.observations) == 0.0
    assert all(np.isfinite(seen.lids).all() for seen in worn.observations)


def test_meshes_without_a_face_are_refused(canonical_mesh, textured_image):
    headset = SimulatedHeadset()
    missing = np.full((478, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="no face was found"):
        headset.wear(textured_image, missing)
    with pytest.raises(ValueError, match="shrunk to a point"):
        headset.wear(textured_image, np.zeros((478, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(478,3\)"):
        headset.wear(textured_image, canonical_mesh[:468])


def test_images_of_another_kind_are_refused(canonical_mesh, textured_image):
    headset = SimulatedHeadset()
    for wrong in (textured_image[..., 0], textured_image.astype(np.float32), textured_image[:0]):
        with pytest.raises(ValueError, match="uint8 BGR"):
            headset.wear(wrong, canonical_mesh)


def test_unknown_models_are_refused_with_the_known_ones_named(tmp_path, cutouts):
    with pytest.raises(ValueError, match="box, goggles, visor"):
        SimulatedHeadset("sombrero")
    with pytest.raises(FileNotFoundError, match="holds no NAME"):
        SimulatedHeadset(tmp_path)
    with pytest.raises(ValueError, match="round"):
        SimulatedHeadset(cutouts / "square")


def test_broken_cutouts_are_named(tmp_path):
    (tmp_path / "flat_y+00_p+00.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match="flat_y"):
        SimulatedHeadset(tmp_path)
