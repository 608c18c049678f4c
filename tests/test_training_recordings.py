"""One recording restored from another: a moving drawn face, through the real command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_face import scene

from edge.__main__ import main
from edge.plate.backdrop import Backdrop
from training.recordings import protocol

FRAMES = 6


def a_video(path: Path, size: float, drift: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (400, 240))
    for index in range(FRAMES):
        writer.write(scene((190 + drift * index, 120, size)))
    writer.release()
    return path


def ran(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate-recordings", *words])
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_a_recording_is_restored_from_another_and_scored_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plates = []
    monkeypatch.setattr(protocol, "Backdrop", lambda plate: plates.append(plate) or Backdrop(plate))
    first = a_video(tmp_path / "a.avi", 1.2, 1)
    second = a_video(tmp_path / "b.avi", 1.1, 3)
    words = ["--reference-clip", str(first), "--clip", str(second), "--no-lpips"]
    files = {name: tmp_path / name for name in ("r.json", "r.md", "r.png")}
    words += ["--json", str(files["r.json"]), "--markdown", str(files["r.md"])]
    words += ["--strip", str(files["r.png"]), "--method", "warp-blend"]
    assert ran(*words) == 0
    told = json.loads(files["r.json"].read_text())
    assert (told["reference_clip"], told["clip"], told["frames"]) == ("a.avi", "b.avi", FRAMES)
    assert set(told["methods"]) == {"warp-blend, tracked", "warp-blend, told"}
    assert 0.05 < told["hidden_share"] < 0.5
    assert len(plates) == 2  # tracked and told, both with the room that the profile knows
    assert all(plate is not None and plate.known.any() for plate in plates)
    oracle = told["methods"]["warp-blend, told"]
    assert 18 < oracle["psnr_db"] < 60  # a drawing over a drawing, not noise and not a copy
    assert oracle["psnr_masked_db"] < oracle["psnr_db"]
    assert "b.avi restored from a.avi" in files["r.md"].read_text()
    strip = cv2.imread(str(files["r.png"]))
    assert strip.shape == (5 * 128, 4 * 128, 3)
    truth, camera = strip[:, -128:].astype(float), strip[:, :128].astype(float)
    assert np.abs(truth - camera).mean() > 3  # the headset is seen in the camera's picture


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clip", "b.mp4"], "Two recordings are needed"),
        (["--demo", "--clip", "b.mp4"], "brings its own recordings"),
    ],
)
def test_two_recordings_have_to_be_named(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(*words, "--no-lpips") == 1
    assert said in " ".join(capsys.readouterr().err.split())
