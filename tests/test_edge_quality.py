"""Scores of a live run: the evaluation's definitions, on a thread, in constant memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edge_views import a_view, picture

from edge.quality import Quality, psnr_db, score_view, ssim

EDGE = 5  # px: half of the 11 px window


def _ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, window by window, in double precision."""
    offsets = np.arange(-5, 6)
    line = np.exp(-0.5 * (offsets / 1.5) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    x, y = a.astype(float) / 255, b.astype(float) / 255
    values = []
    for row in range(EDGE, x.shape[0] - EDGE):
        for column in range(EDGE, x.shape[1] - EDGE):
            box = np.s_[row - EDGE : row + EDGE + 1, column - EDGE : column + EDGE + 1]
            for channel in range(3):
                p, q = x[box][..., channel], y[box][..., channel]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                top = (2 * mp * mq + 1e-4) * (2 * cov + 9e-4)
                values.append(top / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(values))


def test_ssim_equals_its_definition() -> None:
    a, b = picture(1, 24, 20), picture(2, 24, 20)
    assert ssim(a, b) == pytest.approx(_ssim_by_definition(a, b), abs=1e-4)


def test_equal_images_score_the_cap_and_one() -> None:
    quality = score_view(a_view())
    assert quality.psnr_db == 100.0
    assert quality.ssim == pytest.approx(1.0)
    assert quality.masked_mse == 0.0


def test_a_known_error_inside_the_hole_gives_the_known_scores() -> None:
    """Error of 51 (0.2) in the hole only: masked MSE 0.04, whole MSE its share of the crop."""
    view = a_view()
    assert view.hidden is not None
    assert view.truth is not None
    base = np.full_like(view.truth, 100)
    wrong = base.copy()
    wrong[view.hidden == 1] += 51
    view = a_view(restored=wrong)
    object.__setattr__(view, "truth", base)
    quality = score_view(view)
    # The crop covers 64 x 64 px of the frame, of which the hole has 60 x 30, less resampling.
    assert quality.masked_mse == pytest.approx(0.04, rel=0.03)
    assert quality.psnr_db == pytest.approx(-10 * math.log10(0.04 * 60 * 30 / 64**2), abs=0.2)


def test_the_score_does_not_depend_on_the_pipelines_crop_size() -> None:
    view = a_view(restored=picture(3))
    other = a_view(restored=picture(3))
    assert other.frame_from_crop is not None
    half = other.frame_from_crop.copy()
    half[:, :2] *= 0.5  # the same place at 256 px
    half[:, 2] -= 0.125
    object.__setattr__(other, "frame_from_crop", half)
    object.__setattr__(other.restored, "crop", np.zeros((256, 256, 3), np.uint8))
    assert score_view(other).psnr_db == pytest.approx(score_view(view).psnr_db, abs=0.01)


def test_results_are_means_over_the_scored_frames() -> None:
    quality = Quality()
    quality.show(a_view(1, restored=picture(3)))
    quality.close()
    results = quality.results()
    alone = score_view(a_view(1, restored=picture(3)))
    assert results["scored_frames"] == 1
    assert results["psnr_db"] == pytest.approx(alone.psnr_db)
    assert results["psnr_masked_db"] == pytest.approx(psnr_db(alone.masked_mse))
    assert results["ssim"] == pytest.approx(alone.ssim)


@pytest.mark.parametrize("view", [a_view(truth=False), a_view(face=False)])
def test_frames_without_truth_or_face_leave_no_score(view: object) -> None:
    quality = Quality()
    quality.show(view)  # type: ignore[arg-type]
    quality.close()
    assert quality.results() == {"scored_frames": 0.0}


def test_a_truth_of_another_size_is_reported_and_skipped() -> None:
    quality = Quality()
    view = a_view(restored=picture(3, 80, 60))
    quality.show(view)
    quality.close()
    assert quality.results() == {"scored_frames": 0.0}
