"""All measures of a protocol together, through stand-ins for the networks that measure."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from face_clip_files import face_mesh
from numpy.typing import NDArray

pytest.importorskip("torch")
import torch

from training.evaluation import tables
from training.evaluation.full_scores import FullScores, Networks, load_networks, merge
from training.helper_weights import HelperWeightsError
from training.protocol import ScoredClip

FRAMES, SIZE = 12, 64


class Features:
    """Stands in for networks that look at frames and clips: means of colours."""

    def features(self, images: torch.Tensor, per_clip_statistics: bool = False) -> torch.Tensor:
        return images.flatten(2).mean(2)


class Faces:
    """Stands in for the reader of identities and expressions."""

    def identities(
        self, images: NDArray[np.uint8], meshes: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        return images.reshape(len(images), -1).mean(1, keepdims=True) / 255

    expressions = identities


class Finder:
    """Stands in for the landmark finder: sees no face."""

    def meshes(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((len(images), 478, 3), np.nan, np.float32)


def clip(seed: int, who: str, frames: int = FRAMES) -> ScoredClip:
    random = np.random.default_rng(seed)
    still = random.integers(50, 150, (SIZE, SIZE, 3))
    truth = np.stack([still + 2 * k for k in range(frames)]).astype(np.uint8)
    hidden = np.zeros((frames, SIZE, SIZE), np.uint8)
    hidden[:, 16:48, 16:48] = 1
    meshes = np.repeat(face_mesh(SIZE)[None], frames, axis=0)
    return ScoredClip(f"clip{seed}", who, truth[0], meshes[0], truth, meshes, hidden)


@pytest.fixture
def full() -> FullScores:
    """Scores of a method that adds 51 to the hole, and of one that flickers."""
    networks = Networks(Features(), Features(), Faces(), None)  # type: ignore[arg-type]
    scores = FullScores(networks, Finder(), "hmd")  # type: ignore[arg-type]
    for seed, who in ((1, "ann"), (2, "ann"), (3, "bob")):
        each = clip(seed, who)
        lighter = each.truth + 51 * each.hidden[..., None]
        beat = 20 * (np.arange(FRAMES) % 2)[:, None, None, None]
        flicker = (each.truth + beat * each.hidden[..., None]).astype(np.uint8)
        scores.add(each, {"lighter": lighter, "flicker": flicker})
    return scores


def test_measures_are_those_worked_out_by_hand(full: FullScores) -> None:
    found = full.document()
    assert found["lighter"]["l1_masked"] == pytest.approx(0.2)
    assert found["lighter"]["l1"] == pytest.approx(0.2 / 4)  # a quarter of the crop is hidden
    assert found["lighter"]["identity"] == pytest.approx(0.2 / 4)
    assert found["truth"]["l1"] == 0
    assert found["truth"]["vfid"] == pytest.approx(0, abs=1e-9)
    # All clips' mean colours are shifted by the same: the distance of Gaussians is that squared.
    assert found["lighter"]["vfid"] == pytest.approx(3 * 0.05**2, rel=0.01)
    assert found["lighter"]["warping_ratio_masked"] == pytest.approx(1, abs=0.05)
    assert found["flicker"]["warping_ratio_masked"] > 20
    assert found["truth"]["ms_ssim"] == pytest.approx(1)
    assert found["lighter"]["ms_ssim"] < 0.9
    assert found["lighter"]["eyes"]["clips_with_blinks"] == 0


def test_people_count_once_and_their_spread_is_told(full: FullScores) -> None:
    scores = full.document()["flicker"]
    assert set(scores["per_person"]) == {"ann", "bob"}
    assert set(scores["per_clip"]) == {"clip1", "clip2", "clip3"}
    each = [person["l1"] for person in scores["per_person"].values()]
    assert scores["people_mean"]["l1"] == pytest.approx(np.mean(each))
    assert scores["people_deviation"]["l1"] == pytest.approx(np.std(each))


def test_measures_join_the_report_and_its_tables(full: FullScores) -> None:
    plain = {"psnr_db": 30.0, "people_mean": {"psnr_db": 31.0}, "per_clip": {"clip1": {"mse": 0.1}}}
    report = {"clips": 3, "methods": {"lighter": dict(plain), "flicker": dict(plain)}}
    document = merge(report, full.document(), full.video_clips)
    scores = document["methods"]["lighter"]
    assert scores["people_mean"].keys() >= {"psnr_db", "l1"}
    assert scores["per_clip"]["clip1"].keys() >= {"mse", "l1"}
    assert document["frechet_samples"] == {"clips": 3, "orientation_only": True}
    assert "per_person" not in document["truth"]
    table = tables.markdown_table(document)
    assert "| L1 in mask | 0.2000 |" in table
    assert "VFID" in table
    assert tables.rich_table(document).row_count == table.count("\n") - 2


def test_the_video_distance_can_be_left_out(full: FullScores) -> None:
    networks = Networks(None, Features(), Faces(), None)  # type: ignore[arg-type]
    scores = FullScores(networks, Finder(), "hmd")  # type: ignore[arg-type]
    for seed in (1, 2):
        each = clip(seed, "ann")
        scores.add(each, {"same": each.truth})
    found = scores.document()["same"]
    assert "vfid" not in found
    assert found["fd_efficientnet_lite0"] == pytest.approx(0, abs=1e-9)


def test_the_video_distance_counts_the_clips_that_are_in_it() -> None:
    """I3D sees nothing in fewer than nine frames: such a clip makes the measure no surer."""
    networks = Networks(Features(), Features(), None, None)  # type: ignore[arg-type]
    scores = FullScores(networks, None, "hmd")
    for seed, frames in enumerate((FRAMES, 9, 8, FRAMES)):
        each = clip(seed, "ann", frames)
        scores.add(each, {"same": each.truth})
    report = {"clips": 4, "methods": {"same": {"psnr_db": 30.0}}}
    assert merge(report, scores.document(), scores.video_clips)["frechet_samples"]["clips"] == 3
    assert merge(report, scores.document(), 99)["frechet_samples"]["orientation_only"]
    assert not merge(report, scores.document(), 100)["frechet_samples"]["orientation_only"]


def test_only_counted_frames_are_scored() -> None:
    networks = Networks(None, Features(), Faces(), None)  # type: ignore[arg-type]
    scores = FullScores(networks, Finder(), "hmd")  # type: ignore[arg-type]
    each = dataclasses.replace(clip(1, "ann"), counted=np.arange(FRAMES) >= 8)
    spoilt = each.truth.copy()
    spoilt[:8] = 0
    scores.add(each, {"early": spoilt})
    assert scores.document()["early"]["l1"] == 0


def test_missing_networks_are_named(tmp_path: Path) -> None:
    with pytest.raises(HelperWeightsError, match="--helper-weights"):
        load_networks(tmp_path, None)


def test_without_faces_networks_what_frames_tell_is_left() -> None:
    """Covers other than the headset are told apart without looking for eyes and identities."""
    frames_only = Networks(None, Features(), None, None)  # type: ignore[arg-type]
    scores = FullScores(frames_only, None, "face-mask")
    for seed, who in ((1, "ann"), (2, "bob")):
        each = clip(seed, who)
        scores.add(each, {"lighter": each.truth + 51 * each.hidden[..., None]})
    found = scores.document()["lighter"]
    assert found["l1_masked"] == pytest.approx(0.2)
    assert {"warping_ratio", "fd_efficientnet_lite0"} <= found.keys()
    assert not {"identity", "expression_l1", "eyes", "vfid"} & found.keys()
