"""`unvisor export`: which checkpoints become network files, and what is said of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

import typer

from models.export import Precision, export
from models.face_masks.contract import FACE_MASK_NET
from models.face_masks.network import FaceMaskNetSettings
from models.headset.network import HeadsetNetSettings
from models.outlines.contract import OUTLINE_NET
from models.outlines.network import OutlineNetSettings
from models.shipped import check_manifest
from training.face_masks.trainer import FaceMaskTrainer, FaceMaskTrainerSettings
from training.headset.trainer import HeadsetTrainer, HeadsetTrainerSettings
from training.outlines.trainer import OutlineTrainer, OutlineTrainerSettings
from training.run import checkpoint
from training.small_networks.trainer import AveragedTrainer

CPU = torch.device("cpu")


def outline_trainer() -> OutlineTrainer:
    return OutlineTrainer(OutlineNetSettings(), OutlineTrainerSettings(), CPU)


def face_mask_trainer() -> FaceMaskTrainer:
    return FaceMaskTrainer(FaceMaskNetSettings(), FaceMaskTrainerSettings(), CPU)


def headset_trainer() -> HeadsetTrainer:
    return HeadsetTrainer(HeadsetNetSettings(), HeadsetTrainerSettings(), CPU)


@pytest.mark.parametrize(
    ("trainer", "kind"), [(outline_trainer(), OUTLINE_NET), (face_mask_trainer(), FACE_MASK_NET)]
)
def test_the_best_of_an_unfinished_run_can_be_exported(
    trainer: AveragedTrainer[torch.nn.Module], kind: str, tmp_path: Path
) -> None:
    """It was said to be no checkpoint; only the end of the run made a file of it."""
    checkpoint.save({**trainer.shippable(), "validation": {"iou": 0.9}}, tmp_path / "best.pt")
    export(tmp_path / "best.pt", tmp_path / "network.onnx")
    manifest = check_manifest(tmp_path / "network.onnx", kind)
    assert (manifest["trained_steps"], manifest["validation"]) == (0, {"iou": 0.9})


def test_the_last_checkpoint_of_a_run_is_sent_to_its_best(tmp_path: Path) -> None:
    """It ended in a traceback: nothing had scored it."""
    checkpoint.save(headset_trainer().state_dict(), tmp_path / "last.pt")
    with pytest.raises(typer.BadParameter, match=r"no validation.*best\.pt"):
        export(tmp_path / "last.pt", tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_a_checkpoint_that_is_not_there_is_not_called_foreign(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match=r"best\.pt does not exist"):
        export(tmp_path / "best.pt", tmp_path / "network.onnx")


def test_notes_that_cannot_be_taken_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """Broken ones ended in a traceback, those for an ONNX file were left out without a word."""
    best, notes = tmp_path / "best.pt", tmp_path / "notes.json"
    checkpoint.save({**outline_trainer().shippable(), "validation": {}}, best)
    for content in (None, "{", "[1]"):
        if content is not None:
            notes.write_text(content)
        with pytest.raises(typer.BadParameter, match=r"notes\.json.*JSON object"):
            export(best, tmp_path / "network.onnx", notes=notes)
    assert not (tmp_path / "network.onnx").exists()
    notes.write_text(json.dumps({"limits": "none"}))
    export(best, tmp_path / "network.onnx", notes=notes)
    assert check_manifest(tmp_path / "network.onnx", OUTLINE_NET)["limits"] == "none"
    with pytest.raises(typer.BadParameter, match="--notes"):
        export(tmp_path / "network.onnx", tmp_path / "half.onnx", Precision.FP16, notes)
    assert not (tmp_path / "half.onnx").exists()
