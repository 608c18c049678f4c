"""The simulated eye cameras: images and labels that agree with the mesh."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from hmd_capture.simulated import SimulatedHeadset
from models.face.mesh import EYES
from streaming.records import Side


def face_picture(mesh, size=(256, 256)):
    """A flat face with white eyes, dark irises and skin-coloured lids, drawn from the mesh."""
    picture = np.full((*size, 3), (150, 175, 210), np.uint8)
    for eye in EYES:
        opening = mesh[[*eye.upper_lid, *eye.lower_lid[::-1]], :2]
        shape = np.zeros(size, np.uint8)
        cv2.fillPoly(shape, [(opening * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        inside = np.full_like(picture, 240)
        x, y = mesh[eye.iris_centre, :2]
        radius = np.linalg.norm(mesh[eye.iris_ring[0], :2] - mesh[eye.iris_ring[2], :2]) / 2
        cv2.circle(
            inside,
            (round(float(x) * 16), round(float(y) * 16)),
            round(float(radius) * 16),
            (60, 50, 40),
            -1,
            cv2.LINE_AA,
            shift=4,
        )
        share = shape[..., None] / 255.0
        picture = (inside * share + picture * (1 - share)).astype(np.uint8)
    return picture


def look(mesh, seed=0):
    return SimulatedHeadset("visor", seed=seed).wear(face_picture(mesh), mesh)


def test_right_eye_comes_first_and_lids_run_from_left_to_right(canonical_mesh):
    worn = look(canonical_mesh)
    assert [seen.side for seen in worn.observations] == [Side.RIGHT, Side.LEFT]
    for seen in worn.observations:
        assert seen.lids.shape == (2, 9, 2)
        assert (np.diff(seen.lids[:, :, 0], axis=1) > 0).all()
        assert (seen.lids[0, 1:8, 1] < seen.lids[1, 1:8, 1]).all()  # upper lid above lower
        np.testing.assert_allclose(seen.lids[0, [0, 8]], seen.lids[1, [0, 8]], atol=1e-3)


def test_whole_eye_is_in_the_image(canonical_mesh):
    for seen in look(canonical_mesh).observations:
        assert seen.lids.min() > 5
        assert seen.lids[..., 0].max() < 123
        assert seen.lids[..., 1].max() < 91


@pytest.mark.parametrize("yaw_deg", [-20, 0, 20])
def test_iris_and_pupil_labels_lie_on_dark_pixels(yaw_deg, posed_mesh):
    worn = look(posed_mesh(yaw_deg, span_px=110))
    for image, seen in zip(worn.eyes, worn.observations, strict=True):
        inside, opening = np.zeros((2, 96, 128), np.uint8)
        ellipse = (tuple(seen.iris[:2].tolist()), tuple(seen.iris[2:4].tolist()), seen.iris[4])
        cv2.ellipse(inside, ellipse, 1, -1)
        contour = np.concatenate([seen.lids[0], seen.lids[1][::-1]]).round().astype(np.int32)
        cv2.fillPoly(opening, [contour], 1)
        iris = image[(inside & opening) == 1].astype(float).mean()
        white = image[(opening & ~inside & 1) == 1].astype(float).mean()
        assert iris + 40 < white
        x, y = seen.pupil[:2].round().astype(int)
        around = image[y - 2 : y + 3, x - 2 : x + 3]
        assert np.median(around) < iris


def test_blink_rises_from_open_to_closed_lids(posed_mesh):
    blinks = [
        [seen.blink for seen in look(posed_mesh(closed=closed)).observations]
        for closed in (0.0, 0.5, 0.8, 1.0)
    ]
    assert max(blinks[0]) < 0.2
    assert min(blinks[-1]) == 1.0
    assert (np.diff(np.array(blinks), axis=0) >= 0).all()


def test_closed_lids_show_no_pupil(posed_mesh):
    open_eyes = look(posed_mesh()).eyes
    closed_eyes = look(posed_mesh(closed=1.0)).eyes
    for image, shut in zip(open_eyes, closed_eyes, strict=True):
        assert np.percentile(image, 1) < 30
        assert (shut < 30).mean() < 0.001


@pytest.mark.parametrize("pose", [(20, 0, 0), (-20, 0, 0), (0, 12, 0), (0, 0, 25)])
def test_labels_do_not_move_when_the_head_does(pose, posed_mesh):
    """The cameras are fixed to the head: only depth inside the eye may show as parallax."""
    frontal, turned = (look(posed_mesh(*angles)).observations for angles in ((0, 0, 0), pose))
    for still, moved in zip(frontal, turned, strict=True):
        assert np.abs(moved.lids - still.lids).mean() < 4.0


def test_iris_label_follows_the_gaze(canonical_mesh):
    looking = canonical_mesh.copy()
    for eye in EYES:
        looking[[eye.iris_centre, *eye.iris_ring], 0] += 4.0
    ahead, aside = look(canonical_mesh).observations, look(looking).observations
    for before, after in zip(ahead, aside, strict=True):
        assert after.iris[0] - before.iris[0] > 5
        assert after.iris[1] == pytest.approx(before.iris[1], abs=1.5)
        assert 0 < after.pupil[2] < after.iris[2]


def test_eye_images_are_grey_bright_and_noisy(canonical_mesh):
    mesh = canonical_mesh
    headset = SimulatedHeadset("visor", seed=0)
    first, second = (headset.wear(face_picture(mesh), mesh).eyes for _ in range(2))
    for image, again in zip(first, second, strict=True):
        assert image.dtype == np.uint8
        assert image.shape == (96, 128)
        assert 90 < image.mean() < 180
        difference = np.abs(image.astype(int) - again.astype(int))
        assert 0.5 < difference.mean() < 6  # the same scene, other noise


def test_confidence_falls_for_the_far_eye_and_for_tiny_faces(posed_mesh):
    right, left = look(posed_mesh(50)).observations
    assert left.confidence < right.confidence  # turned to the image's right: the left eye is far
    tiny = look(posed_mesh(span_px=12)).observations
    assert all(seen.confidence < 0.3 for seen in tiny)
    near = look(posed_mesh(span_px=110)).observations
    assert all(seen.confidence > 0.95 for seen in near)
