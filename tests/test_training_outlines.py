"""OutlineNet: scenes are labelled where the headset is, a step learns, an export agrees."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hmd_capture.headset_render import ProceduralHeadset
from models.export import export_outline_net
from models.headset.reader import HeadsetReader
from models.outlines.contract import BARE, HEIGHT_PX, KNOWN, SEEN, SOFT, WIDTH_PX
from models.outlines.network import OutlineNet, OutlineNetSettings
from models.outlines.reader import OutlineReader
from training.clips.faces import FaceDataError
from training.outlines import scenes
from training.outlines.scenes import OutlineScenes
from training.outlines.train import EXPORTED, built, people_of_portraits
from training.outlines.trainer import OutlineTrainer, OutlineTrainerSettings, collate
from training.run import checkpoint
from training.run.folder import BEST
from training.scenes.bare_faces import BareFace, is_held_back
from training.small_networks.shipping import export_best
from training.trainer import TrainingDiverged

SMALL = OutlineNetSettings(channels=(8, 8, 8), blocks=(1, 1), detail=4)


@pytest.fixture(scope="module")
def people(face_in_spans: NDArray[np.float32]) -> list[list[BareFace]]:
    """Two clips of two frames; each of one colour."""
    found = []
    for colour in (90.0, 200.0):
        frames = []
        for shift in (0, 4):
            mesh = (face_in_spans * 75 + [128 + shift, 110, 0]).astype(np.float32)
            image = np.full((256, 256, 3), 30, np.uint8)
            hull = cv2.convexHull(mesh[:, :2].copy()).astype(np.int32)
            cv2.fillConvexPoly(image, hull, (colour, colour, colour))
            frames.append(BareFace(image, mesh))
        found.append(frames)
    return found


def maker(people: list[list[BareFace]], seed: int) -> OutlineScenes:
    headsets = [ProceduralHeadset(None, index) for index in range(3)]
    return OutlineScenes(people, headsets, [], HeadsetReader(), seed)


def a_trainer() -> OutlineTrainer:
    torch.manual_seed(0)
    return OutlineTrainer(SMALL, OutlineTrainerSettings(bfloat16=False), torch.device("cpu"))


def test_a_seed_fixes_the_scenes(people: list[list[BareFace]]) -> None:
    one, same = (maker(people, 3).scene() for _ in range(2))
    np.testing.assert_array_equal(one.look, same.look)
    np.testing.assert_array_equal(one.mask, same.mask)
    assert (maker(people, 4).scene().look != one.look).any()


def test_the_bare_picture_shows_the_person_whose_headset_is_labelled(
    people: list[list[BareFace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for share in ("FAULTY_SHARE", "OTHER_CAMERA_SHARE", "STRANGER_SHARE", "NO_PICTURE_SHARE"):
        monkeypatch.setattr(scenes, share, 0.0)
    drawn = maker(people, 5)
    for scene in (drawn.scene() for _ in range(12)):
        assert scene.mask.shape == scene.look.shape[1:] == (HEIGHT_PX, WIDTH_PX)
        assert 0.02 < (scene.mask > 0.5).mean() < 0.8
        face = np.median(scene.look[BARE], axis=0)[scene.look[KNOWN][0] == 255]
        shown = np.median(scene.look[SEEN], axis=0)[scene.mask == 0]
        for colour, other in ((90, 200), (200, 90)):  # of the clips' faces
            if (np.abs(shown - colour) < 3).mean() > 0.1:
                assert (np.abs(face - colour) < 40).any()
                assert not (np.abs(face - other) < 10).mean() > 0.1


def test_the_bare_picture_is_another_one_where_there_are_two(people: list[list[BareFace]]) -> None:
    random = np.random.default_rng(0)
    drawn = [scenes.two_of(people[0], random) for _ in range(20)]
    assert all(face is not bare for face, bare in drawn)
    alone = people[0][:1]
    assert scenes.two_of(alone, random) == (alone[0], alone[0])


def test_of_portraits_those_are_shown_of_whom_there_are_several(
    tmp_path: Path, face_in_spans: NDArray[np.float32]
) -> None:
    names = (f"p{number}" for number in range(99))
    twice, once = itertools.islice((name for name in names if not is_held_back(name)), 2)
    held_back = next(name for name in names if is_held_back(name))
    rows = [f"f{i},{who},f{i}.png" for i, who in enumerate((twice, once, twice, *[held_back] * 2))]
    (tmp_path / "manifest.csv").write_text("\n".join(("name,identity,file", *rows)))
    for index in range(len(rows)):
        cv2.imwrite(str(tmp_path / f"f{index}.png"), np.full((64, 64, 3), index, np.uint8))
    meshes = np.repeat(face_in_spans[None] / 4 + 0.5, len(rows), axis=0)
    np.savez(tmp_path / "landmarks.npz", names=[f"f{i}" for i in range(len(rows))], lm=meshes)
    (found,) = people_of_portraits(tmp_path)
    assert [int(face.image.max()) for face in found] == [0, 2]
    (tmp_path / "landmarks.npz").unlink()
    with pytest.raises(FaceDataError, match="holds no portraits"):
        people_of_portraits(tmp_path)


def test_now_and_then_there_is_no_picture(
    people: list[list[BareFace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "NO_PICTURE_SHARE", 1.0)
    scene = maker(people, 1).scene()
    assert not scene.look[KNOWN].any()
    assert scene.look[SEEN].any()


def test_an_untrained_network_leaves_the_outline_as_it_is(people: list[list[BareFace]]) -> None:
    batch = collate([maker(people, 2).scene()])
    with torch.no_grad():
        said = torch.sigmoid(OutlineNet(SMALL).eval()(batch.seen.float() / 255))
    given = batch.seen[:, SOFT].float() / 255
    assert float((said - given).abs().max()) < 0.021


def test_steps_lower_the_loss_and_a_state_goes_on_where_it_was(
    people: list[list[BareFace]],
) -> None:
    drawn = maker(people, 6)
    batch = collate([drawn.scene() for _ in range(4)])
    trainer = a_trainer()
    losses = [trainer.step(batch, 0.1)["loss"] for _ in range(12)]
    assert losses[-1] < losses[0]
    other = a_trainer()
    other.load_state_dict(trainer.state_dict())
    assert other.finished_steps == 12
    assert other.score([batch]) == trainer.score([batch])


def test_a_loss_that_is_no_number_stops_before_the_weights_change(
    people: list[list[BareFace]],
) -> None:
    batch = collate([maker(people, 2).scene() for _ in range(2)])
    batch.mask[0] = float("nan")
    with pytest.raises(TrainingDiverged, match="checkpoint"):
        a_trainer().step(batch, 0.0)


def test_an_exported_network_says_what_the_trained_one_says(
    people: list[list[BareFace]], tmp_path: Path
) -> None:
    trainer = a_trainer()
    scene = maker(people, 1).scene()
    batch = collate([scene, scene])
    trainer.step(batch, 0.1)
    checkpoint.save({**trainer.shippable(), "validation": {"iou": 0.0}}, tmp_path / BEST)
    exported = export_best(tmp_path / EXPORTED, built, export_outline_net, {})
    assert exported == tmp_path / EXPORTED
    with torch.no_grad():
        wanted = torch.sigmoid(trainer.average(batch.seen[:1].float() / 255))
    said = OutlineReader(exported).read(scene.look)
    assert said == pytest.approx(wanted[0, 0].numpy(), abs=1e-4)
