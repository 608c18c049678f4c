"""What is remembered from frame to frame: steadier where nothing happens, never late."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import MeshMaker
from hypothesis import given, settings
from hypothesis import strategies as st
from test_models_preparation import SIZE, crop_mesh, hole, smooth_image

from models.bank.references import ReferenceBank
from models.face.mesh import EYES, LEFT_SIDE, RIGHT_SIDE
from models.face.raster import FaceRaster
from models.memory.exposure import ExposureMemory
from models.memory.fields import FieldMemory
from models.memory.fill import FillMemory
from models.memory.landmark_prior import ReferenceFrame, load_landmark_prior
from models.memory.landmarks import SteadyLandmarks, near_hole
from models.memory.light import LightMemory
from models.preparation import prepare
from models.preparer import Preparer
from models.reference import Reference
from models.registration import load_prior
from models.weights_error import WeightsError

NOTHING = np.zeros((SIZE, SIZE), np.uint8)


def erring(mesh: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """`mesh` with the points in the hole off by `share` of the face's width."""
    width = np.linalg.norm(mesh[LEFT_SIDE, :2] - mesh[RIGHT_SIDE, :2])
    column, row = np.rint(mesh[:, :2]).astype(int).T
    noise = random.normal(size=(len(mesh), 2)) * share * width
    off = mesh.copy()
    off[:, :2] += noise * (hole()[row, column] != 0)[:, None]
    return off


def off_by(mesh: np.ndarray, truth: np.ndarray) -> float:
    """RMS distance of the first 468 points, px."""
    return float(np.sqrt(((mesh - truth)[:468, :2] ** 2).sum(1).mean()))


def test_hidden_landmarks_that_err_are_put_right_and_the_error_is_told(
    posed_mesh: MeshMaker,
) -> None:
    reference, random = crop_mesh(posed_mesh()), np.random.default_rng(0)
    landmarks = SteadyLandmarks(reference)
    before, after = [], []
    for yaw in np.linspace(0, 8, 12):
        truth = crop_mesh(posed_mesh(yaw_deg=float(yaw)))
        given_mesh = erring(truth, 0.02, random)
        before.append(off_by(given_mesh, truth))
        after.append(off_by(landmarks.step(given_mesh, hole()), truth))
    assert np.mean(after) < 0.4 * np.mean(before)
    width = np.linalg.norm(reference[LEFT_SIDE, :2] - reference[RIGHT_SIDE, :2])
    span = ReferenceFrame.of(reference).span_px
    assert landmarks.error_spans == pytest.approx(0.02 * width / span, rel=0.35)


def test_true_landmarks_of_a_turning_head_stay_where_they_are(posed_mesh: MeshMaker) -> None:
    landmarks = SteadyLandmarks(crop_mesh(posed_mesh()))
    for yaw in np.arange(0, 15, 1.5):  # 37 degrees a second at 25 frames a second
        truth = crop_mesh(posed_mesh(yaw_deg=float(yaw)), shift=(yaw, -yaw / 2))
        assert off_by(landmarks.step(truth, NOTHING), truth) < 0.3


def test_a_blink_is_as_quick_as_it_was(posed_mesh: MeshMaker) -> None:
    landmarks = SteadyLandmarks(crop_mesh(posed_mesh()))
    for closed in (0.0, 0.0, 0.5, 1.0, 0.5, 0.0):
        truth = crop_mesh(posed_mesh(closed=closed))
        steady = landmarks.step(truth, hole())
        for eye in EYES:
            lids = [[*eye.upper_lid], [*eye.lower_lid]]
            gap, true_gap = (
                float((mesh[lids[1], 1] - mesh[lids[0], 1]).mean()) for mesh in (steady, truth)
            )
            assert abs(gap - true_gap) < 0.2


def test_a_face_that_holds_still_trembles_less(posed_mesh: MeshMaker) -> None:
    reference, random = crop_mesh(posed_mesh()), np.random.default_rng(1)
    prior, frame = load_landmark_prior(), ReferenceFrame.of(reference)
    landmarks, given_meshes, steady = SteadyLandmarks(reference), [], []
    for _ in range(40):
        along = random.normal(size=len(prior.basis)) * np.sqrt(prior.trembling)
        mesh = reference.copy()
        motion = frame.motion(reference[:, :2])
        mesh[:, :2] = frame.points_of((along @ prior.basis).astype(np.float32), motion)
        given_meshes.append(mesh)
        steady.append(landmarks.step(mesh, NOTHING))
    before, after = (
        np.std(np.stack(meshes)[10:, :468, :2], axis=0).mean() for meshes in (given_meshes, steady)
    )
    assert after < 0.6 * before


def test_points_beside_the_hole_may_err_too(posed_mesh: MeshMaker) -> None:
    mesh = crop_mesh(posed_mesh())
    unsure, column = near_hole(mesh, hole()), np.rint(mesh[:, :2]).astype(int)
    hidden = hole()[column[:, 1], column[:, 0]] != 0
    assert unsure[hidden].all()
    assert unsure.sum() > hidden.sum()
    assert not near_hole(mesh, NOTHING).any()


def test_a_missing_or_damaged_prior_of_landmarks_says_how_to_restore_it(tmp_path: Path) -> None:
    (tmp_path / "landmarks.npz").write_bytes(b"not a file of arrays")
    for name in ("landmarks.npz", "absent.npz"):
        with pytest.raises(WeightsError, match="git checkout"):
            load_landmark_prior(tmp_path / name)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 0.99))
def test_a_field_seen_again_and_again_is_known_better(seed: int, persistence: float) -> None:
    """A field of the prior itself, read with noise that is new in every frame."""
    random, prior = np.random.default_rng(seed), load_prior().shift
    weights = random.normal(size=len(prior.variance)) * np.sqrt(prior.variance)
    truth = (weights @ prior.basis).reshape(-1, 2)
    seen, pose = np.ones(len(truth), bool), np.zeros(len(prior.by_pose), np.float32)
    memory, alone, followed = FieldMemory(persistence), [], []
    for _ in range(6):
        noisy = truth + random.normal(size=truth.shape) * np.sqrt(prior.noise_variance)
        values = noisy.astype(np.float32)
        alone.append(np.square(prior.infer(values, seen, pose) - truth).mean())
        followed.append(np.square(prior.infer(values, seen, pose, memory) - truth).mean())
    if persistence == 0:
        assert np.allclose(alone, followed)
    elif persistence > 0.7:
        assert np.mean(followed[3:]) < np.mean(alone[3:])


def test_a_field_that_is_forgotten_begins_anew() -> None:
    prior, memory = load_prior().shift, FieldMemory(0.8)
    seen, pose = np.ones(468, bool), np.zeros(len(prior.by_pose), np.float32)
    first = prior.infer(np.full((468, 2), 0.03, np.float32), seen, pose, memory)
    prior.infer(np.full((468, 2), -0.03, np.float32), seen, pose, memory)
    memory.reset()
    again = prior.infer(np.full((468, 2), 0.03, np.float32), seen, pose, memory)
    assert np.array_equal(first, again)


def flicker(fields: list[np.ndarray], where: np.ndarray) -> float:
    return float(np.std(np.stack(fields)[4:], axis=0)[where].mean())


def test_noise_at_the_rim_does_not_flicker_through_the_hole() -> None:
    random, memory = np.random.default_rng(0), LightMemory()
    light = [np.full((SIZE, SIZE, 3), random.normal() * 2, np.float32) for _ in range(30)]
    steady = [memory.step(field, hole()) for field in light]
    middle = np.zeros((SIZE, SIZE), bool)
    middle[50:65, 40:90] = True
    assert flicker(steady, middle) < 0.6 * flicker(light, middle)
    rim = (hole() == 0) & (np.roll(hole(), 1, 0) | np.roll(hole(), -1, 0) == 1)
    assert np.array_equal(np.stack(steady)[:, rim], np.stack(light)[:, rim])  # or a seam shows


def test_a_lamp_that_is_switched_lights_the_hole_at_once() -> None:
    memory = LightMemory()
    for _ in range(5):
        memory.step(np.zeros((SIZE, SIZE, 3), np.float32), hole())
    lit = memory.step(np.full((SIZE, SIZE, 3), 60, np.float32), hole())
    assert np.abs(lit - 60)[hole() == 1].max() < 1


def test_what_was_not_hidden_a_frame_ago_has_no_past() -> None:
    memory, elsewhere = LightMemory(), np.roll(hole(), 40, axis=0)
    memory.step(np.zeros((SIZE, SIZE, 3), np.float32), elsewhere)
    field = np.full((SIZE, SIZE, 3), 4, np.float32)
    assert np.array_equal(memory.step(field, hole()), field)
    smaller = np.full((SIZE // 2, SIZE // 2, 3), 4, np.float32)
    assert np.array_equal(memory.step(smaller, hole()[::2, ::2].copy()), smaller)


def stepped(
    memory: FillMemory, fill: np.ndarray, crop: np.ndarray, mesh: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    return memory.step(fill, crop, hidden, mesh, FaceRaster(mesh, SIZE))


def eyes_of(mesh: np.ndarray) -> np.ndarray:
    """Where the lids are, (S,S) bool."""
    shown = np.zeros((SIZE, SIZE), np.uint8)
    for eye in EYES:
        hull = cv2.convexHull(mesh[[*eye.upper_lid, *eye.lower_lid], :2])
        cv2.fillConvexPoly(shown, hull.astype(np.int32), (1,))
    return shown == 1


def test_a_noisy_fill_settles_but_for_the_eyes(posed_mesh: MeshMaker) -> None:
    random, memory, mesh = np.random.default_rng(0), FillMemory(), crop_mesh(posed_mesh())
    seen = smooth_image(1)
    fills = [(120 + random.normal(size=seen.shape) * 6).astype(np.uint8) for _ in range(20)]
    steady = [stepped(memory, fill, seen, mesh, hole()) for fill in fills]
    eyes, inside = eyes_of(mesh) & (hole() == 1), hole() == 1
    beside = inside & ~cv2.dilate(eyes.astype(np.uint8), np.ones((25, 25))).astype(bool)
    assert eyes.any()
    assert beside.any()
    assert flicker(steady[5:], beside) < 0.6 * flicker(fills[5:], beside)
    assert flicker(steady[5:], eyes) == pytest.approx(flicker(fills[5:], eyes), rel=0.05)
    assert all(np.array_equal(a[~inside], b[~inside]) for a, b in zip(steady, fills, strict=True))


def test_the_past_moves_along_with_the_face(posed_mesh: MeshMaker) -> None:
    memory, picture = FillMemory(), smooth_image(3)
    for shift in range(0, 16, 4):
        mesh = crop_mesh(posed_mesh(), shift=(shift, 0))
        fill = np.roll(picture, shift, axis=1)
        shown = stepped(memory, fill, fill, mesh, hole())
    middle = np.s_[44:70, 50:95]
    assert np.abs(shown[middle].astype(int) - fill[middle]).mean() < 2  # no ghost trails behind


def test_what_the_hole_hides_next_is_kept_as_it_was_seen(posed_mesh: MeshMaker) -> None:
    memory, mesh = FillMemory(), crop_mesh(posed_mesh())
    seen, fill = np.full((SIZE, SIZE, 3), 100, np.uint8), np.full((SIZE, SIZE, 3), 110, np.uint8)
    moved = np.roll(hole(), 3, axis=1)
    stepped(memory, fill, seen, mesh, hole())
    shown = stepped(memory, fill, seen, mesh, moved)
    newly = (moved == 1) & (hole() == 0)
    assert shown[newly].mean() < 107
    memory.reset()
    assert np.array_equal(stepped(memory, fill, seen, mesh, moved), fill)


def test_a_lamp_that_is_switched_lights_the_fill_at_once(posed_mesh: MeshMaker) -> None:
    memory, mesh = FillMemory(), crop_mesh(posed_mesh())
    dark, lit = (np.full((SIZE, SIZE, 3), value, np.uint8) for value in (60, 140))
    for _ in range(5):
        stepped(memory, dark, dark, mesh, hole())
    assert stepped(memory, lit, lit, mesh, hole()).min() > 138


def test_a_crop_of_another_size_has_no_past(posed_mesh: MeshMaker) -> None:
    memory, mesh = FillMemory(), crop_mesh(posed_mesh())
    stepped(memory, smooth_image(1), smooth_image(1), mesh, hole())
    small = smooth_image(2)[::2, ::2].copy()
    shown = memory.step(small, small, hole()[::2, ::2].copy(), mesh / 2, FaceRaster(mesh / 2, 64))
    assert np.array_equal(shown, small)


def test_a_preparer_that_is_reset_prepares_as_a_new_one(posed_mesh: MeshMaker) -> None:
    reference, random = (
        Reference(smooth_image(1), crop_mesh(posed_mesh())),
        np.random.default_rng(2),
    )
    frames = [
        (smooth_image(2), erring(crop_mesh(posed_mesh(yaw_deg=float(yaw))), 0.01, random))
        for yaw in range(4)
    ]
    preparer = Preparer(ReferenceBank([reference], SIZE))
    runs = []
    for _ in range(2):
        runs.append([preparer.step(image, hole(), mesh).reference for image, mesh in frames])
        preparer.reset()
    assert np.array_equal(runs[0], runs[1])


def test_erring_landmarks_spoil_a_sessions_fill_less_than_a_lone_frames(
    posed_mesh: MeshMaker,
) -> None:
    image, mesh = smooth_image(1), crop_mesh(posed_mesh())
    random, bank = np.random.default_rng(3), ReferenceBank([Reference(image, mesh)], SIZE)
    preparer, errors = Preparer(bank), []
    for _ in range(8):
        off = erring(mesh, 0.03, random)
        fills = [
            preparer.step(image, hole(), off).reference,
            prepare(image, hole(), off, bank.mixture(off)).reference,
        ]
        errors.append([np.square(f.astype(float) - image)[hole() == 1].mean() for f in fills])
    with_memory, alone = np.mean(errors, axis=0)
    assert with_memory < 0.5 * alone


def test_a_gain_that_wobbles_is_held_and_a_switched_lamp_is_not() -> None:
    random, memory = np.random.default_rng(0), ExposureMemory()
    wobbling = random.normal(0, 0.01, (40, 3)).astype(np.float32)
    steady = np.stack([memory.step(gain) for gain in wobbling])
    assert steady[10:].std() < 0.6 * wobbling[10:].std()
    lit = np.full(3, 0.5, np.float32)
    assert np.abs(memory.step(lit) - lit).max() < 0.02
    memory.reset()
    assert np.array_equal(memory.step(-lit), -lit)
