"""The bank protocol on a drawn clip: its pose and light change, the views remember both."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from conftest import MeshMaker
from test_training_faces import write_landmarks, write_manifest, write_video
from typer.testing import CliRunner

from models import preparation
from models.filling import Reference, make_filler
from streaming.errors import UserError
from training.bank_protocol import PROFILE_FRAMES, load, long_enough
from training.clips.faces import FaceClips
from training.detail.scores import (
    WAYS,
    WayScores,
    clip_shots,
    gradient_energy,
    score_detail,
    summary,
)
from training.evaluation.evaluate_command import evaluate

FRAMES = 152


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, posed_mesh: MeshMaker) -> Path:
    """One clip of 152 frames: the head turns to and fro, and is darker when turned."""
    folder = tmp_path_factory.mktemp("faces")
    noise = np.random.default_rng(0).normal(0, 25, (86, 86, 3)).astype(np.float32)
    skin = np.clip(130 + cv2.resize(noise, (256, 256)), 0, 255).astype(np.uint8)
    face = Reference(skin, posed_mesh())
    yaw = 18 * np.sin(np.arange(FRAMES) / 8)
    meshes = np.stack([posed_mesh(yaw_deg=float(turn)) for turn in yaw])
    light = 1 - np.abs(yaw) / 90
    frames = np.stack(
        [
            (preparation.warp_reference(face, mesh) * bright).astype(np.uint8)
            for mesh, bright in zip(meshes, light, strict=True)
        ]
    )
    for name in ("video", "landmarks"):
        (folder / name).mkdir()
    write_video(folder / "video" / "turning.mp4", frames)
    write_landmarks(folder / "landmarks" / "turning.npz", meshes, yaw.astype(np.float16))
    rows = (("turning", "ann", FRAMES), ("brief", "bob", 149))
    write_manifest(
        folder,
        [
            {"segment": name, "split": "test", "identity": who, "frames": str(count)}
            for name, who, count in rows
        ],
    )
    return folder


def test_the_profile_is_made_of_the_first_frames_and_the_rest_is_scored(root: Path) -> None:
    clips = FaceClips(root)
    kept, short = long_enough(clips.rows("test"))
    assert [row.segment for row in short] == ["brief"]
    clip = load(clips, kept[0])
    assert len(clip.images) == len(clip.meshes) == FRAMES - PROFILE_FRAMES
    first = clips.frames(kept[0])[:PROFILE_FRAMES]
    assert len(clip.references) >= 2
    for view in clip.references:
        assert any(np.array_equal(view.image, image) for image in first)
    with pytest.raises(UserError, match="None of the 1 clips"):
        long_enough(short)


def test_a_clip_that_is_not_what_its_row_says_is_refused(root: Path, tmp_path: Path) -> None:
    """Fewer meshes than images ended in a traceback."""
    (tmp_path / "landmarks").mkdir()
    for name in ("video", "manifest.csv"):
        (tmp_path / name).symlink_to(root / name)
    meshes = FaceClips(root).meshes(FaceClips(root).rows("test")[0])[:120]
    write_landmarks(tmp_path / "landmarks" / "turning.npz", meshes, np.zeros(120, np.float16))
    clips = FaceClips(tmp_path)
    with pytest.raises(UserError, match="turning has 152 images and 120 meshes"):
        load(clips, clips.rows("test")[0])


def test_the_command_compares_the_bank_with_one_view(root: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(evaluate)
    file = tmp_path / "bank.json"
    options = ["--data", root, "--protocol", "bank", "--method", "warp-register", "--no-lpips"]
    options += ["--filler-size", "64"]
    result = CliRunner().invoke(app, [*map(str, options), "--json", str(file)])
    assert result.exit_code == 0, result.output
    found = json.loads(file.read_text())
    bank, frontal = found["methods"]["warp-register"], found["methods"]["warp-register-frontal"]
    assert bank["psnr_db"] > frontal["psnr_db"] + 0.3
    assert set(bank["per_person"]) == {"ann"}
    assert found["too_short"] == ["brief"]
    assert found["detail"]["frame_px"] == 256
    for ways in found["detail"]["fill_px"].values():
        assert ways["detail"]["gradient_ratio"] > ways["bicubic"]["gradient_ratio"] + 0.1


def test_gradient_energy_is_that_of_the_hole_alone() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, :, 16:] = 3 * np.arange(16, dtype=np.uint8)[None, :, None]
    hidden = np.zeros((1, 32, 32), np.uint8)
    hidden[0, 8:24, 18:30] = 1
    assert gradient_energy(image, hidden)[0] == pytest.approx(9.0)
    hidden[0] = 0
    hidden[0, 8:24, 2:12] = 1
    assert gradient_energy(image, hidden)[0] == 0


def test_a_filler_without_detail_is_told_apart(root: Path) -> None:
    clips = FaceClips(root)
    clip = load(clips, clips.rows("test")[0])
    paste = make_filler("paste", clip.references, size_px=64)
    scores = {way: WayScores() for way in WAYS}
    with pytest.raises(UserError, match="'paste' has no detail"):
        score_detail(clip_shots(clip, paste), 64, None, scores)
    assert all(not found.groups for found in scores.values())


def test_frames_without_a_hidden_pixel_have_no_gradient_and_leave_the_others_theirs(
    root: Path,
) -> None:
    """One such frame, or one such clip, made the figure of all clips no number."""
    clips = FaceClips(root)
    clip = load(clips, clips.rows("test")[0])
    some = dataclasses.replace(clip, images=clip.images[:11], meshes=clip.meshes[:11].copy())
    filler = make_filler("warp-register", some.references, size_px=64)
    usual = {way: WayScores() for way in WAYS}
    first = dataclasses.replace(some, images=some.images[:6], meshes=some.meshes[:6])
    score_detail(clip_shots(first, filler), 64, None, usual)
    some.meshes[10, :, 1] -= 1.2 * np.ptp(some.meshes[10, :, 1])  # the chin is all that is seen
    found = {way: WayScores() for way in WAYS}
    score_detail(clip_shots(some, filler), 64, None, found)
    gone = dataclasses.replace(some, images=some.images[10:], meshes=some.meshes[10:])
    score_detail(clip_shots(gone, filler), 64, None, found)
    for way, ratios in summary(usual).items():
        ratio = pytest.approx(ratios["gradient_ratio"])
        assert found[way].means(0)["gradient_ratio"] == ratio
        assert "gradient_ratio" not in found[way].means(1)
        assert found[way].means()["gradient_ratio"] == ratio
    json.dumps(summary(found), allow_nan=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(gradient_energy(clip.images[:1], np.zeros((1, 256, 256), np.uint8))).all()
