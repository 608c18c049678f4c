"""Measures against values that are known: equal clips, worked examples, other implementations."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")
import torch

from models.face.mediapipe_mesh import _drawn_face
from training.evaluation import images, metrics, motion
from training.evaluation.expression import face_boxes
from training.evaluation.eyes_seen import EyeFinder, add_blinks
from training.evaluation.faces_seen import (
    expression_differences,
    identity_distances,
    load_face_reader,
)
from training.evaluation.frechet import frechet_distance
from training.evaluation.i3d import I3d, load_i3d
from training.eyes.live_motion import EyeScores
from training.helper_weights import HelperWeightsError

SHARED_WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"
SHARED_FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"
needs_weights = pytest.mark.skipif(
    not SHARED_WEIGHTS.is_dir(), reason="needs the helper networks of ../shared/weights"
)


def pictures(count: int = 3, size_px: int = 128, seed: int = 1) -> NDArray[np.uint8]:
    """Smooth coloured noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 3), np.uint8)
    return np.stack([cv2.resize(image, (size_px, size_px)) for image in coarse])


@pytest.fixture
def torchmetrics_image(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """torchmetrics; a torchvision beside it that is of another torch must not stop it."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass  # torchmetrics does without
    except RuntimeError:
        for name in ("torchvision", "torchvision.models", "torchvision.transforms"):
            monkeypatch.setitem(sys.modules, name, MagicMock())
    module: ModuleType = pytest.importorskip("torchmetrics.functional.image")
    return module


def test_equal_frames_score_best_in_every_measure() -> None:
    frames, hidden = pictures(), np.ones((3, 128, 128), np.uint8)
    assert images.l1(frames, frames).tolist() == [0, 0, 0]
    assert images.masked_l1(frames, frames, hidden).tolist() == [0, 0, 0]
    np.testing.assert_allclose(images.ms_ssim(frames, frames), 1, atol=1e-5)
    np.testing.assert_allclose(images.masked_ssim(frames, frames, hidden), 1, atol=1e-5)


def test_a_lighter_half_has_the_l1_worked_out_by_hand() -> None:
    frames = np.full((1, 40, 40, 3), 100, np.uint8)
    lighter, hidden = frames.copy(), np.zeros((1, 40, 40), np.uint8)
    lighter[:, :, :20] += 51
    hidden[:, :, :10] = 1
    assert images.l1(lighter, frames)[0] == pytest.approx(0.1)
    assert images.masked_l1(lighter, frames, hidden)[0] == pytest.approx(0.2)
    assert np.isnan(images.masked_l1(lighter, frames, 0 * hidden)[0])


def test_ssim_inside_a_hole_sees_only_what_is_near_it() -> None:
    frames = pictures(1)
    spoilt, far, near = frames.copy(), *np.zeros((2, 1, 128, 128), np.uint8)
    spoilt[:, :40, :40] = 255 - spoilt[:, :40, :40]
    far[:, 80:, 80:], near[:, :40, :40] = 1, 1
    assert images.masked_ssim(spoilt, frames, far)[0] == pytest.approx(1, abs=1e-5)
    assert images.masked_ssim(spoilt, frames, near)[0] < 0.2


def test_ms_ssim_psnr_and_ssim_agree_with_torchmetrics(torchmetrics_image: ModuleType) -> None:
    frames = pictures(1, 384)  # theirs counts reflected borders: few pixels of a large picture
    noise = np.random.default_rng(2).normal(0, 20, frames.shape)
    worse = np.clip(frames + noise, 0, 255).astype(np.uint8)
    a, b = metrics.rgb_tensor(worse), metrics.rgb_tensor(frames)
    betas = tuple(weight / sum(images.SCALE_WEIGHTS) for weight in images.SCALE_WEIGHTS)
    theirs = torchmetrics_image.multiscale_structural_similarity_index_measure(
        a, b, data_range=1.0, reduction="none", betas=betas, sigma=1.5, kernel_size=11
    )
    np.testing.assert_allclose(images.ms_ssim(worse, frames), theirs.numpy(), atol=0.005)
    psnr = torchmetrics_image.peak_signal_noise_ratio(
        a, b, data_range=1.0, reduction="none", dim=(1, 2, 3)
    )
    np.testing.assert_allclose(metrics.psnr(worse, frames), psnr.numpy(), atol=1e-4)
    ssim = torchmetrics_image.structural_similarity_index_measure(
        a, b, data_range=1.0, reduction="none"
    )
    np.testing.assert_allclose(metrics.ssim(worse, frames), ssim.numpy(), atol=0.002)


def test_ms_ssim_is_left_out_where_the_smallest_scale_has_no_window() -> None:
    assert images.ms_ssim(pictures(2, 43), pictures(2, 43)).size == 0
    assert images.ms_ssim(pictures(2, 64), pictures(2, 64)).size == 2


@pytest.mark.parametrize("dimensions", [3, 400])
def test_the_frechet_distance_of_a_shifted_set_is_the_shift_squared(dimensions: int) -> None:
    features = np.random.default_rng(0).normal(size=(120, dimensions))
    shift = np.linspace(0, 0.2, dimensions)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    found = frechet_distance(features, features + shift)
    assert found == pytest.approx(float(np.square(shift).sum()), rel=1e-6)


def test_the_frechet_distance_of_gaussians_is_that_of_the_formula() -> None:
    random = np.random.default_rng(0)
    deviations, others = np.array([1.0, 2.0, 0.5]), np.array([2.0, 1.0, 0.5])
    a = random.normal(size=(200_000, 3)) * deviations
    b = random.normal(size=(200_000, 3)) * others + [0, 0, 1]
    # Diagonal covariances: |m|² + sum (s - t)² = 1 + 1 + 1 + 0.
    assert frechet_distance(a, b) == pytest.approx(3.0, abs=0.05)


def test_the_frechet_distance_agrees_with_a_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    random = np.random.default_rng(3)
    a = random.normal(size=(60, 8)) @ random.normal(size=(8, 8))
    b = random.normal(size=(90, 8)) @ random.normal(size=(8, 8)) + 0.3
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(
        np.cov(a.T) + np.cov(b.T) - 2 * root
    )
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_the_frechet_distance_of_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))


def shifting(frames: int, step_px: int) -> NDArray[np.uint8]:
    wide = pictures(1, 256)[0]
    return np.stack([wide[40:168, 40 + step_px * k : 168 + step_px * k] for k in range(frames)])


def test_a_shifting_clip_has_no_warping_error_and_a_flicker_has_its_own() -> None:
    clip = shifting(6, 2)
    found = motion.clip_motion(clip)
    grid = np.stack(np.meshgrid(np.arange(128), np.arange(128)), -1)
    middle = (found.before - grid)[:, 30:90, 30:90]
    np.testing.assert_allclose(middle.reshape(-1, 2).mean(0), [2, 0], atol=0.1)
    assert found.trusted.mean() > 0.9
    still = motion.warping_errors(clip, found)
    assert still.max() < 1e-4
    flicker = np.clip(clip.astype(int) + 12 * (np.arange(6) % 2)[:, None, None, None], 0, 255)
    errors = motion.warping_errors(flicker.astype(np.uint8), found)
    np.testing.assert_allclose(errors, (12 / 255) ** 2, rtol=0.15)


def test_warping_errors_inside_a_hole_are_those_of_the_hole() -> None:
    clip, hidden = shifting(4, 1), np.zeros((4, 128, 128), np.uint8)
    hidden[:, 40:80, 40:80] = 1
    found, spoilt = motion.clip_motion(clip), clip.copy()
    spoilt[::2, 40:80, 40:80] = np.clip(spoilt[::2, 40:80, 40:80].astype(int) + 30, 0, 255)
    inside = motion.warping_errors(spoilt, found, hidden)
    whole = motion.warping_errors(spoilt, found)
    assert (inside > 5 * whole).all()
    assert np.isnan(motion.warping_errors(clip, found, 0 * hidden)).all()


def test_motion_is_not_trusted_where_the_past_is_out_of_the_picture() -> None:
    found = motion.clip_motion(shifting(3, 6))
    assert not found.trusted[:, :, -4:].any()


@needs_weights
@pytest.mark.slow
def test_i3d_agrees_with_another_loader_and_normalises_clips_by_themselves() -> None:
    sys.path.insert(0, str(SHARED_WEIGHTS))
    try:
        load_examples = pytest.importorskip("load_examples")
    finally:
        sys.path.remove(str(SHARED_WEIGHTS))
    network = load_i3d(SHARED_WEIGHTS)
    clip = torch.rand(1, 3, 16, 224, 224, generator=torch.Generator().manual_seed(0))
    weights = load_examples.sd("i3d_rgb_kinetics400_fp16.safetensors")
    with torch.inference_mode():
        theirs = load_examples.i3d(weights, clip)[0]
    ours = network.features(clip, per_clip_statistics=False)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    small = torch.rand(1, 3, 16, 64, 64, generator=torch.Generator().manual_seed(0))
    darker = network.features(small * 0.5, per_clip_statistics=True)
    # The first layer takes gain and offset out again: only its variance floor tells them apart.
    own = network.features(small, per_clip_statistics=True)
    torch.testing.assert_close(own, darker, atol=0.05, rtol=0.05)


def test_i3d_refuses_clips_that_are_too_short() -> None:
    with pytest.raises(ValueError, match="too short"):
        I3d({}).features(torch.zeros(1, 3, 4, 128, 128), per_clip_statistics=False)


def test_missing_helper_networks_are_named(tmp_path: Path) -> None:
    with pytest.raises(HelperWeightsError, match=r"i3d_rgb.*--helper-weights"):
        load_i3d(tmp_path)


def test_distances_of_equal_faces_are_zero_and_of_others_worked_out() -> None:
    embeddings = np.eye(2, 128)
    assert identity_distances(embeddings, embeddings).tolist() == [0, 0]
    np.testing.assert_allclose(identity_distances(embeddings, embeddings[::-1]), np.sqrt(2))
    sure, other = np.eye(7)[[0]], np.eye(7)[[3]]
    assert expression_differences(sure, sure)[0] == 0
    assert expression_differences(sure, other)[0] == pytest.approx(2 / 7)


def test_a_face_box_holds_the_mesh_in_its_middle() -> None:
    image = np.zeros((1, 200, 200, 3), np.uint8)
    cv2.circle(image[0], (120, 80), 20, (255, 255, 255), -1)
    points = np.random.default_rng(0).uniform(-1, 1, (478, 2)) * 20 + [120, 80]
    box = face_boxes(image, points[None].astype(np.float32))
    assert box.shape == (1, 3, 112, 112)
    rows, columns = np.nonzero(box[0, 0].numpy() > 128)
    assert rows.mean() == pytest.approx(56, abs=2)
    assert np.ptp(columns) == pytest.approx(0.9 * 112, abs=4)


@needs_weights
@pytest.mark.skipif(not SHARED_FACES.is_dir(), reason="needs ../shared/data/faces")
def test_faces_of_one_person_are_near_and_lids_are_seen_to_blink() -> None:
    from training.clips.faces import FaceClips

    clips = FaceClips(SHARED_FACES)
    rows = {row.segment: row for row in clips.rows("val")}
    first, second = rows["s0087_id075"], rows["s0121_id102"]
    reader = load_face_reader(SHARED_WEIGHTS)
    frames, meshes = clips.frames(first, 128)[:32], clips.meshes(first, 128)[:32]
    own = reader.identities(frames[[0, 31]], meshes[[0, 31]])
    other = reader.identities(clips.frames(second, 128)[:1], clips.meshes(second, 128)[:1])
    assert identity_distances(own[:1], own[1:])[0] < 0.4
    assert identity_distances(own[:1], other)[0] > 0.6
    scores = EyeScores()
    with EyeFinder() as finder:
        add_blinks(scores, finder.meshes(frames), meshes, meshes[0])
    assert scores.summary()["openness_r"] > 0.95


def test_lids_seen_in_a_clip_do_not_depend_on_the_clip_before() -> None:
    face = _drawn_face()
    here, there = (np.stack([np.roll(face, x, axis=1)] * 3) for x in (0, 12))
    with EyeFinder() as finder:
        alone = finder.meshes(here)
        finder.meshes(there)
        after = finder.meshes(here)
    np.testing.assert_array_equal(after, alone)
    assert np.isfinite(alone).all()
