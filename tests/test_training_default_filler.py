"""The default filler has earned its place: it beats the floor that needs no network."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from models.filling import DEFAULT_FILLER
from training.clips.faces import FaceClips
from training.evaluation.evaluate import evaluate_fillers, makers_of, report
from training.helper_weights import lpips_alex

SHARED = Path(__file__).parents[2] / "shared"
FLOOR = "warp-blend"


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data/faces").is_dir(), reason="needs ../shared/data/faces")
@pytest.mark.parametrize("protocol", ["hmd", "hmd-far"])
def test_the_default_filler_beats_the_floor_in_psnr_and_lpips(protocol: str) -> None:
    evaluation = evaluate_fillers(
        FaceClips(SHARED / "data/faces"),
        makers_of([FLOOR, DEFAULT_FILLER], threads=2),
        protocol=protocol,
        split="test",
        size_px=128,
        distance=lpips_alex(SHARED / "weights"),
        limit_clips=6,
    )
    methods = report(evaluation)["methods"]
    assert methods[DEFAULT_FILLER]["psnr_db"] > methods[FLOOR]["psnr_db"]
    assert methods[DEFAULT_FILLER]["lpips"] < methods[FLOOR]["lpips"]
