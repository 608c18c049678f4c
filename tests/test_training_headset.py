"""HeadsetNet's training on drawn faces: scenes and labels, one short run, a kill, an export."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import onnxruntime

from hmd_capture.headset_render import ProceduralHeadset
from models.export import export_headset_net
from models.headset.contract import SIZE_PX, headset_net_contract
from models.headset.network import (
    ExportedHeadsetNet,
    HeadsetNet,
    HeadsetNetSettings,
    heat_means,
)
from training.headset.losses import collate, headset_losses
from training.headset.trainer import (
    HeadsetTrainer,
    HeadsetTrainerSettings,
    to_device,
)
from training.run import checkpoint
from training.scenes.bare_faces import BareFace, is_held_back, mirrored_points
from training.scenes.headset_models import split_names
from training.scenes.headset_variety import blending_in
from training.scenes.worn_scenes import WornScenes, mirrored
from training.trainer import TrainingDiverged

SMALL = HeadsetNetSettings(channels=(8, 8, 8, 16, 16), blocks=(1, 1, 1, 1), shape_values=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def faces(face_in_spans) -> list[BareFace]:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    found = []
    for shift in range(4):
        mesh = (face_in_spans * 75 + [128 + shift, 110, 0]).astype(np.float32)
        image = cv2.resize(random.integers(0, 255, (16, 16, 3), np.uint8), (256, 256))
        hull = cv2.convexHull(mesh[:, :2].copy()).astype(np.int32)
        cv2.fillConvexPoly(image, hull, (140.0, 170.0, 220.0))
        found.append(BareFace(np.asarray(image, np.uint8), mesh))
    return found


def scenes(faces: list[BareFace], seed: int, *, is_rim_whole: bool = False) -> WornScenes:
    headsets = [ProceduralHeadset(None, s) for s in range(3)]
    return WornScenes(faces, headsets, [], seed, is_rim_whole=is_rim_whole)


def test_the_same_seed_makes_the_same_scenes(faces: list[BareFace]) -> None:
    one, other = (scenes(faces, 5) for _ in range(2))
    for _ in range(6):
        first, second = one.scene(), other.scene()
        assert np.array_equal(first.image, second.image)
        assert np.array_equal(first.mask, second.mask)


def test_labels_lie_where_the_picture_shows_them(faces: list[BareFace]) -> None:
    made = scenes(faces, 1)
    found = [made.scene() for _ in range(60)]
    covered = [s for s in found if s.mesh is not None and s.main_head.is_covered]
    bare = [s for s in found if s.mesh is not None and not s.main_head.is_covered]
    assert len(covered) > 10
    assert bare
    for scene in covered:
        eyes = scene.mesh[[33, 133, 362, 263], :2].mean(axis=0)
        row, column = (int(v * len(scene.mask)) for v in eyes[::-1])
        assert scene.mask[row - 2 : row + 3, column - 2 : column + 3].max() > 0.5
    assert all(scene.mask.max() == 0 for scene in bare)
    for scene in found:
        assert scene.image.shape == (SIZE_PX, SIZE_PX, 3)
        assert 0 <= scene.mask.min() <= scene.mask.max() <= 1
        assert all(0 <= head.centre.min() <= head.centre.max() <= 1 for head in scene.heads)


def test_a_pixel_that_a_headset_only_touches_can_be_labelled_as_headset(
    faces: list[BareFace],
) -> None:
    shares, wholes = (scenes(faces, 3, is_rim_whole=whole) for whole in (False, True))
    for face in faces:
        share, whole = shares.followed(face), wholes.followed(face)
        assert np.array_equal(share.image, whole.image)
        assert (whole.mask >= share.mask).all()
        rim = (share.mask > 0.1) & (share.mask < 0.4)
        assert whole.mask[rim].mean() > 1.5 * share.mask[rim].mean()


def test_a_mirrored_face_keeps_left_and_right_apart(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    mesh = posed_mesh(yaw_deg=20.0)
    image = np.zeros((256, 256, 3), np.uint8)
    flipped = mirrored(BareFace(image, mesh))
    other = posed_mesh(yaw_deg=-20.0, centre=(255 - 128.0, 115.0))
    # The face is nearly symmetric: its mirror image is itself, turned the other way.
    assert np.linalg.norm(flipped.mesh[:, :2] - other[:, :2], axis=1).mean() < 3.0
    assert np.array_equal(mirrored_points()[mirrored_points()], np.arange(478))
    assert flipped.image.shape == image.shape


def test_a_few_steps_lower_the_loss_and_a_resumed_run_goes_on_alike(
    faces: list[BareFace], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    made = scenes(faces, 2)
    batch = collate([made.scene() for _ in range(8)])
    settings = HeadsetTrainerSettings(bfloat16=False, learning_rate=3e-3, warm_up_share=1e-3)
    trainer = HeadsetTrainer(SMALL, settings, CPU)
    first = sum(trainer.step(batch, 0.1).values())
    for _ in range(15):
        last = sum(trainer.step(batch, 0.1).values())
    assert last < 0.8 * first
    checkpoint.save(trainer.state_dict(), tmp_path / "last.pt")
    resumed = HeadsetTrainer(SMALL, settings, CPU)
    resumed.load_state_dict(checkpoint.load(tmp_path / "last.pt"))
    assert resumed.finished_steps == 16
    assert resumed.step(batch, 0.2) == pytest.approx(trainer.step(batch, 0.2), rel=1e-4)


def test_a_loss_that_is_no_number_stops_before_the_weights_change(faces: list[BareFace]) -> None:
    batch = collate([scenes(faces, 2).scene() for _ in range(4)])
    batch.mask[0] = float("nan")
    trainer = HeadsetTrainer(SMALL, HeadsetTrainerSettings(bfloat16=False), CPU)
    before = [p.clone() for p in trainer.network.parameters()]
    with pytest.raises(TrainingDiverged, match="checkpoint"):
        trainer.step(batch, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


def test_a_batch_without_any_face_still_has_a_loss(faces: list[BareFace]) -> None:
    made = scenes(faces, 3)
    empty = [s for s in (made.scene() for _ in range(120)) if not s.heads][:3]
    batch = to_device(collate(empty), CPU)
    network = HeadsetNet(SMALL)
    losses = headset_losses(network(batch.crop.float() / 255), batch)
    assert all(bool(torch.isfinite(value)) for value in losses.values())


def test_heat_maps_tell_positions_between_cells() -> None:
    maps = torch.full((1, 1, 12, 12), -30.0)
    maps[0, 0, 3, 6] = maps[0, 0, 3, 7] = 0.0
    assert heat_means(maps)[0, 0].tolist() == pytest.approx([7 / 12, 3.5 / 12])


def test_the_exported_network_says_what_the_trained_one_says(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = HeadsetNet(SMALL).eval()
    path = tmp_path / "net.onnx"
    export_headset_net(network, path, {"trained_steps": 0})
    crop = torch.rand(1, 3, SIZE_PX, SIZE_PX)
    with torch.no_grad():
        wanted = ExportedHeadsetNet(network)(crop)
    names = [spec.name for spec in headset_net_contract().outputs]
    said = onnxruntime.InferenceSession(str(path)).run(names, {"crop": crop.numpy()})
    for one, other, spec in zip(said, wanted, headset_net_contract().outputs, strict=True):
        assert one.shape == spec.shape
        assert np.allclose(one, other.numpy(), atol=1e-4)
    assert json.loads(path.with_suffix(".json").read_text())["kind"] == "headset-net"


def test_the_network_has_at_most_two_million_parameters() -> None:
    assert sum(p.numel() for p in HeadsetNet().parameters()) <= 2_000_000


def test_test_headsets_never_reach_training(tmp_path: Path) -> None:
    rows = [("cutouts/a_y+00_p+00.png", "train"), ("cutouts/b_y+20_p+00.png", "test")]
    text = "file,split\n" + "".join(f"{file},{split}\n" for file, split in rows)
    (tmp_path / "manifest.csv").write_text(text)
    assert split_names(tmp_path, "train") == ["a"]
    assert split_names(tmp_path, "test") == ["b"]


def test_a_quarter_of_the_portraits_people_is_held_back_for_good() -> None:
    share = np.mean([is_held_back(f"p{n:05}") for n in range(1000)])
    assert 0.2 < share < 0.3
    assert is_held_back("p00036") == is_held_back("p00036")


def test_a_headset_can_have_the_colour_of_what_is_beside_the_face(faces: list[BareFace]) -> None:
    random = np.random.default_rng(1)
    image = np.full((256, 256, 3), (40, 90, 160), np.uint8)
    patch = ProceduralHeadset(None, 1).draw(faces[0].mesh, image)
    assert patch is not None
    changed = blending_in(patch, image, faces[0].mesh, random)
    inside = patch.alpha > 250
    before, after = (
        np.abs(np.median(p.colour[inside], axis=0) - image[0, 0]).max() for p in (patch, changed)
    )
    assert after < 0.4 * before
    np.testing.assert_array_equal(changed.alpha, patch.alpha)
    assert (changed.colour <= changed.alpha[..., None]).all()
    nowhere = faces[0].mesh + np.float32(4000)
    assert blending_in(patch, image, nowhere, random) is patch
