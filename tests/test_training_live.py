"""The live protocol: its measures on known cases, and the whole of it on a drawn face."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="torch is not installed")

from drawn_face import draw_face

from edge.records import FaceTrack, Truth
from hmd_capture.eye_source import OracleEyeReader
from hmd_capture.headset_style import STYLES
from streaming.errors import UserError
from training import evaluate_tracker
from training.clips.faces import FaceClip, FaceClips
from training.evaluation import evaluate_command
from training.eyes.live_motion import EyeMotion, EyeScores
from training.headset.scores import TrackerScores, boundary_f, jitter_px
from training.live_protocol import worn_clip
from training.reports.live import live_document

SHARED = Path(__file__).parents[2] / "shared" / "data"
FRAMES = 12


def square(left: int, top: int = 20) -> np.ndarray:
    mask = np.zeros((100, 120), np.uint8)
    mask[top : top + 40, left : left + 60] = 1
    return mask


def test_an_outline_within_the_tolerance_is_as_good_as_the_true_one() -> None:
    assert boundary_f(square(20), square(20), 2.0) == 1.0
    assert boundary_f(square(22), square(20), 2.0) == 1.0
    assert boundary_f(square(30), square(20), 2.0) < 0.75
    assert boundary_f(np.zeros((100, 120), np.uint8), square(20), 2.0) == 0.0


def test_a_mesh_that_stands_still_has_no_jitter_and_noise_is_told_at_256_px() -> None:
    random = np.random.default_rng(0)
    still = np.ones((50, 478, 3), np.float32)
    assert jitter_px(still, 256) == 0
    noisy = still + random.normal(0, 0.2, still.shape).astype(np.float32)
    assert jitter_px(noisy, 512) == pytest.approx(0.2 * np.sqrt(2) / 2, rel=0.05)


def test_the_tracker_is_scored_per_frame_and_a_lost_one_counts_as_lost(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    mesh = posed_mesh()
    mask = np.zeros((256, 256), np.uint8)
    mask[80:150, 60:200] = 1
    truth = Truth(np.zeros((256, 256, 3), np.uint8), mesh, mask, ())
    moved = mesh.copy()
    moved[:, 0] += 8.0  # a tenth of the span
    track = FaceTrack(moved, np.ones(478, bool), mask, np.eye(2, 3, dtype=np.float32), 1.0)
    scores = TrackerScores()
    scores.add(track, truth, 256.0)
    scores.add(None, truth, 256.0)
    scores.jitter_px.append(float("nan"))  # a clip whose still frame was never tracked
    found = scores.summary()
    assert found["mask_iou"] == found["boundary_f"] == 1.0
    assert found["visible_nme"] == pytest.approx(0.1, rel=0.05)
    assert found["hidden_nme"] == pytest.approx(0.1, rel=0.05)
    assert found["tracked_ratio"] == 0.5
    json.dumps(found, allow_nan=False)


@pytest.fixture
def drawn_clips(tmp_path: Path, face_in_spans) -> Path:  # type: ignore[no-untyped-def]
    """One test clip of a drawn face with a mesh where the face is."""
    root = tmp_path / "faces"
    for folder in ("video", "landmarks"):
        (root / folder).mkdir(parents=True)
    with av.open(str(root / "video" / "drawn.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height = stream.width = 256
        stream.pix_fmt = "yuv420p"
        for _ in range(FRAMES):
            image = np.full((256, 256, 3), 200, np.uint8)
            draw_face(image, (128, 128), 1.2)
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.2), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    mesh = face_in_spans * 75 + [128, 112, 0]
    np.savez(
        root / "landmarks" / "drawn.npz",
        first=np.round(mesh * [8, 8, 4]).astype(np.int16),
        delta=np.zeros((478, 3, FRAMES - 1), np.int16),
        yaw=np.zeros(FRAMES, np.float16),
    )
    with open(root / "manifest.csv", "w", newline="") as file:
        rows = [["segment", "split", "identity", "frames"], ["drawn", "test", "ann", FRAMES]]
        csv.writer(file).writerows(rows)
    return root


def evaluate(root: Path, tmp_path: Path, *more: str, method: str = "warp-blend") -> dict:  # type: ignore[type-arg]
    app = typer.Typer()
    app.command()(evaluate_command.evaluate)
    options = ["--data", str(root), "--protocol", "live", "--no-lpips", "--method", method]
    outcome = CliRunner().invoke(app, [*options, "--json", str(tmp_path / "live.json"), *more])
    assert outcome.exit_code == 0, outcome.output
    document: dict = json.loads((tmp_path / "live.json").read_text())  # type: ignore[type-arg]
    return document


def test_the_live_protocol_scores_the_product_tracked_and_told(
    drawn_clips: Path, tmp_path: Path
) -> None:
    document = evaluate(drawn_clips, tmp_path, "--strips", str(tmp_path / "strips"))
    methods = {"warp-blend", "warp-blend-oracle", "warp-blend-open-eyes"}
    assert set(document["methods"]) == methods
    # A still face that is told where it is comes back almost as it was.
    assert document["methods"]["warp-blend-oracle"]["psnr_db"] > 30
    assert document["landmarks"] == "tracker"
    assert 0 <= document["tracker"]["tracked_ratio"] <= 1
    strip = cv2.imread(str(tmp_path / "strips" / "drawn.png"))
    assert strip.shape[1] == 5 * 128  # camera, three methods, truth
    assert document["eyes"]["clips_with_blinks"] == 0  # a drawn face does not blink


def test_a_clip_that_is_not_what_its_row_says_is_refused(drawn_clips: Path) -> None:
    """What there was of it was scored as if it were all, unlike in the other protocols."""
    rows = [["segment", "split", "identity", "frames"], ["drawn", "test", "ann", 2 * FRAMES]]
    with open(drawn_clips / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    clips = FaceClips(drawn_clips)
    with pytest.raises(UserError, match="drawn has 12 images and 12 meshes"):
        worn_clip(clips, clips.rows("test")[0], next(iter(STYLES)), OracleEyeReader())


def test_bare_drawn_faces_raise_no_alarm_and_times_are_told(
    drawn_clips: Path, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(evaluate_tracker.evaluate_tracker)
    options = ["--data", str(drawn_clips), "--json", str(tmp_path / "t.json")]
    outcome = CliRunner().invoke(app, options)
    assert outcome.exit_code == 0, outcome.output
    document = json.loads((tmp_path / "t.json").read_text())
    assert document["false_alarms"]["bare"]["headset_reported"] == 0
    assert document["false_alarms"]["glasses"]["pictures"] == 2
    assert document["time_ms"]["look"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "hmd").is_dir(), reason="no face clips beside the checkout")
def test_unseen_people_get_their_faces_back_from_unseen_headsets_with_nothing_given(
    tmp_path: Path,
) -> None:
    options = ["--headsets", str(SHARED / "hmd"), "--limit-clips", "6"]
    document = evaluate(SHARED / "faces", tmp_path, *options, method="warp-register")
    tracker = document["tracker"]
    assert tracker["tracked_ratio"] >= 0.99
    assert tracker["hidden_nme"] <= 0.05
    # Pasting the reference under the true outline gives 16 dB inside the hole.
    assert document["methods"]["warp-register"]["psnr_masked_db"] > 17
    eyes = document["eyes"]
    assert eyes["openness_r"] >= 0.8
    assert eyes["yaw_r"] >= 0.7
    assert eyes["eyes_psnr_gain_blink_frames_db"] > 0  # nearer to the truth than fixed open eyes


def test_clips_of_one_frame_are_refused_before_the_product_is_started(tmp_path: Path) -> None:
    rows = [FaceClip("a", "test", "ann", 1), FaceClip("b", "test", "bob", 1)]
    (tmp_path / "manifest.csv").touch()
    with pytest.raises(UserError, match="None of the 2 clips has the 2 frames"):
        live_document(
            FaceClips(tmp_path),
            "test",
            rows,
            {},
            None,
            "quick",
            128,
            None,
            None,
            None,
            lambda *_: None,
        )


def test_eyes_that_never_move_follow_no_blink() -> None:
    """Such clips were left out of the mean, which then told of the others only."""
    gaze = np.zeros((9, 2, 2))
    blink = np.repeat(np.array([1, 1, 1, 0, 0, 1, 1, 1, 1.0])[:, None], 2, axis=1)
    scores = EyeScores()
    scores.add(EyeMotion(blink, gaze), EyeMotion(blink, gaze))
    scores.add(EyeMotion(np.ones((9, 2)), gaze), EyeMotion(blink, gaze))
    found = scores.summary()
    assert found["openness_r"] == pytest.approx(0.5)
    assert "yaw_r" not in found  # nobody looked anywhere
