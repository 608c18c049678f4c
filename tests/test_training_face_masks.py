"""FaceMaskNet: scenes are labelled where the mask is, a step learns, an export agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hmd_capture.face_masks.cut import KINDS
from models.export import export_face_mask_net
from models.face_masks.contract import SIZE_PX
from models.face_masks.network import FaceMaskNet, FaceMaskNetSettings
from models.face_masks.reader import SHIPPED_FACE_MASK_NET, FaceMaskReader
from models.headset.head_crop import crop_of_mesh
from models.weights_error import WeightsError
from training.face_masks import scenes
from training.face_masks.evaluate import MaskMeasures, score_alarms, score_masks
from training.face_masks.scenes import MaskScenes
from training.face_masks.train import EXPORTED, built, endless_batches
from training.face_masks.trainer import FaceMaskTrainer, FaceMaskTrainerSettings, collate
from training.run import checkpoint
from training.run.checkpoint import CheckpointError
from training.run.folder import BEST
from training.scenes.bare_faces import BareFace
from training.small_networks.shipping import export_best

SMALL = FaceMaskNetSettings(channels=(8, 8, 8, 8), blocks=(1, 1, 1))


@pytest.fixture
def face(textured_image: NDArray[np.uint8], canonical_mesh: NDArray[np.float32]) -> BareFace:
    return BareFace(textured_image, canonical_mesh)


def a_trainer() -> FaceMaskTrainer:
    torch.manual_seed(0)
    settings = FaceMaskTrainerSettings(bfloat16=False)
    return FaceMaskTrainer(SMALL, settings, torch.device("cpu"))


def test_scenes_are_crops_with_masks_on_most_and_none_on_the_others(face: BareFace) -> None:
    maker = MaskScenes([face], "train", 1)
    drawn = [maker.scene() for _ in range(24)]
    assert {scene.image.shape for scene in drawn} == {(SIZE_PX, SIZE_PX, 3)}
    assert all(scene.mask.min() >= 0 and scene.mask.max() <= 1 for scene in drawn)
    masked = np.array([(scene.mask > 0.5).mean() for scene in drawn])
    assert 0.4 < (masked > 0.02).mean() < 0.95
    assert (masked == 0).any()


def test_a_seed_fixes_the_scenes(face: BareFace) -> None:
    one, same = (MaskScenes([face], "train", 3).scene() for _ in range(2))
    np.testing.assert_array_equal(one.image, same.image)
    assert (MaskScenes([face], "train", 4).scene().image != one.image).any()


def test_the_label_is_where_the_picture_was_changed(
    face: BareFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "FAULTY_SHARE", 0.0)
    monkeypatch.setattr(scenes, "MASKED_SHARE", 1.0)
    flat = BareFace(np.full_like(face.image, 90), face.mesh)
    scene = MaskScenes([flat], "train", 6).scene()
    changed = (np.abs(scene.image.astype(int) - 90) > 25).any(axis=2)
    assert changed[scene.mask > 0.9].mean() > 0.7
    assert changed[scene.mask == 0].mean() < 0.2


def test_steps_lower_the_loss_and_a_state_goes_on_where_it_was(face: BareFace) -> None:
    batch = next(endless_batches([face], "train", 4, seed=0))
    trainer = a_trainer()
    losses = [trainer.step(batch, 0.1)["loss"] for _ in range(12)]
    assert losses[-1] < losses[0]
    other = a_trainer()
    other.load_state_dict(trainer.state_dict())
    assert other.finished_steps == 12
    assert other.score([batch]) == trainer.score([batch])


def test_a_foreign_checkpoint_is_refused_and_headset_nets_trunk_is_taken() -> None:
    trainer = a_trainer()
    with pytest.raises(CheckpointError, match="HeadsetNet"):
        trainer.start_from({"average": {}})
    weight = torch.full((8, 3, 3, 3), 0.25)
    trainer.start_from({"headset_net": {}, "average": {"stem.0.weight": weight}})
    assert torch.equal(trainer.network.stem[0].weight.detach(), weight)


def test_an_exported_network_says_what_the_trained_one_says(face: BareFace, tmp_path: Path) -> None:
    trainer = a_trainer()
    checkpoint.save({**trainer.shippable(), "validation": {"iou": 0.0}}, tmp_path / BEST)
    exported = export_best(tmp_path / EXPORTED, built, export_face_mask_net, {})
    assert exported == tmp_path / EXPORTED
    scene = MaskScenes([face], "train", 1).scene()
    said = FaceMaskReader(exported).read(scene.image)
    with torch.no_grad():
        wanted = torch.sigmoid(trainer.average(collate([scene]).seen.float() / 255))
    assert said == pytest.approx(wanted[0, 0].numpy(), abs=1e-4)


def test_the_shipped_network_is_small_and_takes_only_its_own_crops() -> None:
    assert sum(value.numel() for value in FaceMaskNet().parameters()) <= 1_000_000
    reader = FaceMaskReader(SHIPPED_FACE_MASK_NET)
    with pytest.raises(ValueError, match="crop"):
        reader.read(np.zeros((64, 64, 3), np.uint8))


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    export_face_mask_net(FaceMaskNet(SMALL), tmp_path / "net.onnx", {"kind": "cover-net"})
    with pytest.raises(WeightsError, match="face-mask-net"):
        FaceMaskReader(tmp_path / "net.onnx")


def test_a_reader_that_knows_the_truth_scores_well_and_a_blind_one_raises_no_alarm(
    face: BareFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Knowing:
        """Says of every crop what was changed in it."""

        def read(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
            bare = crop_of_mesh(face.mesh).cut(face.image)
            return (crop != bare).any(axis=2).astype(np.float32)

    measures = MaskMeasures()
    score_masks(measures, Knowing(), face, 1, "test")  # type: ignore[arg-type]
    tree = measures.tree()
    assert set(tree["iou_by_kind"]) == set(KINDS)
    assert tree["iou"] > 0.9
    assert tree["iou_without_straps"] > 0.9

    class Blind:
        """Sees no mask anywhere."""

        def read(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.zeros(crop.shape[:2], np.float32)

    score_alarms(measures, Blind(), face, 1, "bare face")  # type: ignore[arg-type]
    alarms = measures.tree()["false_alarms"]
    assert set(alarms) == {"bare face", "hand", "glasses", "headset"}
    assert all(alarm["share"] == 0 for alarm in alarms.values())
