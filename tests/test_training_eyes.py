"""EyeNet's training and scoring on drawn eyes: labels, chances, one short run, an export."""

from __future__ import annotations

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="torch is not installed")

import onnxruntime
from eye_folder import SPLITS, write_eye_folder

from models.export import export_eye_net
from models.eyes.contract import SIZE_PX, eye_net_contract
from models.eyes.ellipse import ellipse_of
from models.eyes.fit import EyeReading
from models.eyes.network import ExportedEyeNet, EyeNet, EyeNetSettings
from training.evaluation import evaluate_command
from training.eyes import scores, train_command
from training.eyes.drawing import chances
from training.eyes.losses import eye_losses
from training.eyes.real import EyeDataError, real_eyes
from training.eyes.samples import PUPIL, EyeSample
from training.eyes.simulated import made_up_nothing
from training.eyes.targets import mirrored, placed, stacked
from training.eyes.trainer import EyeTrainer, EyeTrainerSettings
from training.run import checkpoint
from training.trainer import TrainingDiverged

SMALL = EyeNetSettings(channels=(4, 8, 8, 8), squeezed=4, hidden=8)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_eye_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def samples(folder: Path) -> list[EyeSample]:
    return list(real_eyes(folder, "train"))


def test_a_split_is_read_with_what_is_known_and_no_more(folder: Path) -> None:
    found = list(real_eyes(folder, "test"))
    assert len(found) == SPLITS["test"]
    opened, closed = found[0], found[1]
    assert opened.known_masks == (True, True, True)
    assert opened.pupil is not None
    assert opened.pupil[2] == 14.0  # the true one, not the teacher's
    assert closed.lids is None
    assert closed.pupil is None
    assert closed.known_masks == (True, False, False)
    assert (opened.blink, closed.blink) == (0.0, 1.0)


def test_lids_over_the_iris_alone_are_taken_from_sources_with_weak_corners(folder: Path) -> None:
    weak = folder.parent / "weak"
    weak.mkdir()
    (weak / "neareye.zip").write_bytes((folder / "neareye.zip").read_bytes())
    text = (folder / "manifest.csv").read_text().replace(",drawn,", ",meye,")
    (weak / "manifest.csv").write_text(text)
    weights = next(real_eyes(weak, "train")).lid_weights
    assert weights[:, [0, 8]].max() == 0
    assert weights[:, 4].min() == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [("missing", "cannot be read"), ("columns", "lacks"), ("split", "no image in split")],
)
def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(
    folder: Path, tmp_path: Path, change: str, words: str
) -> None:
    if change == "columns":
        (tmp_path / "manifest.csv").write_text("file,split\na,test\n")
    elif change == "split":
        (tmp_path / "manifest.csv").write_text(
            (folder / "manifest.csv").read_text().replace(",test,", ",train,")
        )
    with pytest.raises(EyeDataError, match=words):
        list(real_eyes(tmp_path, "test"))


def test_a_mirrored_eye_keeps_its_lids_in_order_and_mirrored_twice_is_itself(
    samples: list[EyeSample],
) -> None:
    turned = replace(samples[0], iris=np.array([40, 50, 10, 30, 20], np.float32))
    flipped = mirrored(turned)
    assert flipped.lids is not None
    assert (np.diff(flipped.lids[..., 0], axis=1) > 0).all()
    assert flipped.image[50, 10] == turned.image[50, 117]
    again = mirrored(flipped)
    for name in ("image", "lids", "labels", "iris", "pupil"):
        np.testing.assert_allclose(getattr(again, name), getattr(turned, name), atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_labels_move_with_the_image(samples: list[EyeSample], seed: int) -> None:
    """However an eye is turned and mirrored, its pupil is where the label says."""
    item = placed(samples[2 * seed], np.random.default_rng(seed))
    assert item.pupil is not None
    assert item.iris is not None
    mask = item.masks[0].astype(float)
    rows, columns = np.mgrid[: len(mask), : len(mask)]
    found = np.array([(mask * columns).sum(), (mask * rows).sum()]) / mask.sum()
    assert np.abs((found + 0.5) * 2 - 0.5 - item.pupil[:2]).max() < 1.0
    assert item.masks[0].sum() < item.masks[1].sum() < item.masks[2].sum()
    x, y = item.pupil[:2].round().astype(int)
    ring = ellipse_of(item.iris)
    assert item.image[y, x] < item.image.mean()
    assert ring[3] > ellipse_of(item.pupil)[3]


def test_rare_groups_are_drawn_more_often_than_they_are() -> None:
    blank = np.zeros((8, 8), np.uint8)
    many = [EyeSample(blank, "meye_1 open")] * 900 + [EyeSample(blank, "meye_1 closed")] * 100
    drawn = chances([*many, *made_up_nothing(10, 0, "train")])
    assert drawn.sum() == pytest.approx(1)
    assert drawn[900:1000].sum() > 0.3 * drawn[:1000].sum()
    assert 0.1 < drawn[1000:].sum() < 0.3


def test_no_split_shows_the_pictures_of_nothing_of_another() -> None:
    """Val and test began with the very pictures that train begins with."""
    shown = {
        split: {sample.image.tobytes() for sample in made_up_nothing(60, 0, split)}
        for split in ("train", "val", "test")
    }
    for one, other in itertools.combinations(shown.values(), 2):
        same = [np.frombuffer(image, np.uint8) for image in one & other]
        assert all(len(np.unique(image)) == 1 for image in same)  # plain black, white or grey
    again = {sample.image.tobytes() for sample in made_up_nothing(60, 0, "val")}
    assert again == shown["val"]


def test_pictures_of_nothing_teach_neither_lids_nor_blinks() -> None:
    batch = stacked([placed(sample) for sample in made_up_nothing(6, 1, "train")])
    assert batch.confidence.max() == 0
    assert batch.blink_weight.max() == batch.lid_weights.max() == batch.pupil_weight.max() == 0
    losses = eye_losses(EyeNet(SMALL)(batch.eye.float() / 255), batch)
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    assert losses["lids"] == losses["blink"] == 0


def test_a_few_steps_lower_the_loss_and_a_resumed_run_goes_on_alike(
    samples: list[EyeSample], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    batch = stacked([placed(sample, random) for sample in samples])
    settings = EyeTrainerSettings(bfloat16=False, warm_up_share=1e-3)
    trainer = EyeTrainer(SMALL, settings, CPU)
    first = sum(trainer.step(batch, 0.1).values())
    for _ in range(15):
        last = sum(trainer.step(batch, 0.1).values())
    assert last < 0.8 * first
    checkpoint.save(trainer.state_dict(), tmp_path / "last.pt")
    resumed = EyeTrainer(SMALL, settings, CPU)
    resumed.load_state_dict(checkpoint.load(tmp_path / "last.pt"))
    assert resumed.finished_steps == 16
    assert resumed.step(batch, 0.2) == pytest.approx(trainer.step(batch, 0.2), rel=1e-4)


def test_a_loss_that_is_no_number_stops_before_the_weights_change(
    samples: list[EyeSample],
) -> None:
    batch = stacked([placed(sample) for sample in samples[:4]])
    batch.lids[0] = float("nan")
    trainer = EyeTrainer(SMALL, EyeTrainerSettings(bfloat16=False), CPU)
    before = [p.clone() for p in trainer.network.parameters()]
    with pytest.raises(TrainingDiverged, match="checkpoint"):
        trainer.step(batch, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))


def test_the_network_has_at_most_half_a_million_parameters() -> None:
    assert sum(p.numel() for p in EyeNet().parameters()) <= 500_000


def test_moments_of_the_pupil_stay_those_of_an_ellipse() -> None:
    torch.manual_seed(0)
    network = EyeNet(SMALL)
    torch.nn.init.normal_(network.pupil_change.weight, std=0.3)
    said = network(torch.rand(16, 1, SIZE_PX, SIZE_PX))
    for ellipse in (said.pupil, said.iris):
        xx, xy, yy = ellipse[:, 2], ellipse[:, 3], ellipse[:, 4]
        assert bool((xx >= 0).all())
        assert bool((xx * yy - xy * xy >= -1e-7).all())


def test_the_exported_network_says_what_the_trained_one_says(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = EyeNet(SMALL).eval()
    path = tmp_path / "net.onnx"
    export_eye_net(network, path, {"trained_steps": 0})
    eye = torch.rand(1, 1, SIZE_PX, SIZE_PX)
    with torch.no_grad():
        wanted = ExportedEyeNet(network)(eye)
    outputs = eye_net_contract().outputs
    said = onnxruntime.InferenceSession(str(path)).run(
        [o.name for o in outputs], {"eye": eye.numpy()}
    )
    for one, other, spec in zip(said, wanted, outputs, strict=True):
        assert one.shape == spec.shape
        assert np.allclose(one, other.numpy(), atol=1e-4)
    assert json.loads(path.with_suffix(".json").read_text())["kind"] == "eye-net"


def reading(sample: EyeSample, **changes: object) -> EyeReading:
    assert sample.lids is not None
    assert sample.pupil is not None
    assert sample.iris is not None
    truth = EyeReading(sample.lids, sample.pupil, sample.iris, 0.1, 0.9)
    return replace(truth, **changes)  # type: ignore[arg-type]


def beside(sample: EyeSample, right_px: float) -> np.ndarray:
    assert sample.pupil is not None
    return np.asarray(sample.pupil + np.array([right_px, 0, 0, 0, 0], np.float32))


def test_scores_are_perfect_for_the_truth_and_known_for_a_known_shift(
    samples: list[EyeSample],
) -> None:
    sample = samples[0]
    assert scores.centre_error(sample, reading(sample)) == 0
    assert scores.lid_error(sample, reading(sample)) == pytest.approx(0, abs=1e-6)
    assert scores.pupil_overlap(sample, reading(sample)) > 0.9
    assert sample.lids is not None
    assert sample.pupil is not None
    lower = np.array([0, 8], np.float32)
    moved = reading(sample, lids=sample.lids + lower, pupil=beside(sample, 6.4))
    assert scores.centre_error(sample, moved) == pytest.approx(0.05)
    assert 0.04 < scores.lid_error(sample, moved) <= 0.1  # of an eye 80 px wide
    far = reading(sample, pupil=beside(sample, 40))
    assert scores.pupil_overlap(sample, far) == 0


def test_the_area_under_the_curve_is_the_chance_of_the_right_order() -> None:
    assert scores.area_under_curve([0.9, 0.8], [0.1, 0.2]) == 1
    assert scores.area_under_curve([0.1], [0.9, 0.8]) == 0
    assert scores.area_under_curve([0.5, 0.7], [0.5, 0.6]) == pytest.approx(0.625)
    assert math.isnan(scores.area_under_curve([], [0.5]))


def test_labels_of_a_teacher_are_not_scored_as_truth(samples: list[EyeSample]) -> None:
    taught = replace(samples[0], pupil_is_true=False, blink_is_true=False)
    score = scores.eye_score([taught], [reading(taught)])
    assert math.isnan(score.pupil_error)
    assert math.isnan(score.pupil_iou)
    assert not math.isnan(score.lid_error)


def face_folder(root: Path, mesh: np.ndarray) -> Path:
    """Three clips of a drawn face with blinking lids, one of each split."""
    root = root / "faces"
    (root / "video").mkdir(parents=True)
    (root / "landmarks").mkdir()
    random = np.random.default_rng(3)
    rows = []
    for split in SPLITS:
        picture = cv2.resize(random.integers(60, 220, (12, 12, 3), np.uint8), (256, 256))
        with av.open(str(root / "video" / f"{split}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 256
            for _ in range(6):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            container.mux(stream.encode())
        steps = np.round(np.stack([mesh] * 6) * [8, 8, 4]).astype(np.int16)
        delta = np.moveaxis(np.diff(steps, axis=0), 0, 2)
        yaw = np.zeros(6, np.float16)
        np.savez(root / "landmarks" / f"{split}.npz", first=steps[0], delta=delta, yaw=yaw)
        rows.append({"segment": split, "split": split, "identity": split, "frames": 6})
    with open(root / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def command(function: object) -> typer.Typer:
    app = typer.Typer()
    app.command()(function)  # type: ignore[type-var]
    return app


def test_a_run_trains_validates_resumes_exports_and_is_scored(
    folder: Path, tmp_path: Path, canonical_mesh: np.ndarray
) -> None:
    faces, run = face_folder(tmp_path, canonical_mesh), tmp_path / "run"
    arguments = ["--data", str(folder), "--faces", str(faces), "--run", str(run)]
    arguments += ["--minutes", "0.02", "--batch", "4", "--every", "2", "--no-bfloat16"]
    for _ in range(2):  # the second finds the run complete
        outcome = CliRunner().invoke(command(train_command.train_eyes), arguments)
        assert outcome.exit_code == 0, outcome.output
    lines = [json.loads(line) for line in (run / "curve.jsonl").read_text().splitlines()]
    validated = [line for line in lines if "validation" in line]
    assert len(validated) == 1
    assert set(validated[0]["validation"]) == {"real", "sim", "nothing"}
    best = checkpoint.load(run / "best.pt")
    network = EyeNet(EyeNetSettings(**best["eye_net"]))
    network.load_state_dict(best["average"])
    export_eye_net(network, tmp_path / "eye.onnx", {"trained_steps": best["step"]})
    out = tmp_path / "eyes.json"
    arguments = ["--data", str(folder), "--protocol", "eyes", "--json", str(out)]
    arguments += ["--weights", str(tmp_path / "eye.onnx"), "--strips", str(tmp_path / "strips")]
    outcome = CliRunner().invoke(
        command(evaluate_command.evaluate),
        [*arguments, "--faces", str(faces), "--markdown", str(tmp_path / "eyes.md")],
    )
    assert outcome.exit_code == 0, outcome.output
    document = json.loads(out.read_text())
    assert set(document["eyes"]) == {"pupil_error", "pupil_iou", "open_auc", "lid_error"}
    assert document["per_source"]["drawn"]["images"] == SPLITS["test"]
    assert document["simulated"]["images"] > 0
    assert document["simulated"]["eyeless_images"] > 100
    assert cv2.imread(str(tmp_path / "strips" / "drawn.jpg")) is not None
    assert "test_0" in (tmp_path / "eyes.md").read_text()


def test_a_network_of_another_kind_is_refused_by_the_evaluation(folder: Path) -> None:
    from models.shipped import SHIPPED_NETWORK
    from streaming.errors import UserError

    arguments = ["--data", str(folder), "--protocol", "eyes", "--weights", str(SHIPPED_NETWORK)]
    outcome = CliRunner().invoke(command(evaluate_command.evaluate), arguments)
    assert isinstance(outcome.exception, UserError)
    assert "eye-net" in str(outcome.exception)


def test_the_label_map_holds_the_true_pupil_only(samples: list[EyeSample]) -> None:
    for sample in samples:
        assert sample.labels is not None
        assert bool((sample.labels == PUPIL).any()) == (sample.pupil is not None)
