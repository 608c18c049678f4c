"""Trained networks as methods: files, run folders, networks that look ahead, and what they tell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from face_clip_files import write_folder
from typer.testing import CliRunner

pytest.importorskip("torch")
import torch

from models.export import export_network
from models.filling import DetailedFiller, Reference, StagedFiller
from models.inpainting.architectures import EVI_HRNET, build
from models.inpainting.inputs_choice import InputsChoice
from streaming.errors import UserError
from training.clips.faces import FaceClips
from training.evaluation import evaluate as evaluation
from training.evaluation import evaluate_command
from training.evaluation.networks import ClipFiller, TrainedNetwork, WholeClipFiller, shown_by
from training.evaluation.plan import takes
from training.evaluation.run import networks_of
from training.evaluation.testimony import NOT_TOLD
from training.protocol import ScoredClip
from training.run import checkpoint

SMALL = {"width": 8, "size_px": 32}


def noisy(**settings: object) -> torch.nn.Module:
    """An untrained network that draws by itself, so that its fill depends on all of its input."""
    torch.manual_seed(3)
    return build(EVI_HRNET, SMALL | {"head": "rgb"} | settings).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "mine.onnx"
    told = {"trained_steps": 12, "training": {"seconds": 1800, "device": "an abacus"}}
    export_network(noisy(), path, told)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "set"
    return write_folder(folder, [("one", "test", "ann", 35, "free")], np.zeros(35, np.float16))


@pytest.fixture(scope="module")
def clip(root: Path) -> ScoredClip:
    clips = FaceClips(root)
    return takes(clips, "test", "hmd")[0][0].load(clips, 32)


def run_folder(folder: Path, network: torch.nn.Module, **more: object) -> Path:
    settings = dict(vars(network.settings))
    kept = {"step": 7, "architecture": EVI_HRNET, "settings": settings, **more}
    checkpoint.save(kept | {"average": network.state_dict()}, folder / "best.pt")
    return folder


def filled(network: TrainedNetwork, clip: ScoredClip) -> np.ndarray:
    reference = Reference(clip.reference_image, clip.reference_mesh)
    return evaluation.fill_clip(network(reference, 32), clip, evaluation.MethodScores())


def copied(file: Path, folder: Path, **changes: object) -> Path:
    """A copy of a network file whose manifest says something else."""
    shutil.copyfile(file, folder / file.name)
    manifest = json.loads(file.with_suffix(".json").read_text())
    (folder / "mine.json").write_text(json.dumps(manifest | changes))
    return folder / file.name


def test_a_file_and_a_run_folder_of_one_network_fill_alike(
    file: Path, clip: ScoredClip, tmp_path: Path
) -> None:
    from_file = filled(TrainedNetwork("a", file), clip)
    from_run = filled(TrainedNetwork("b", run_folder(tmp_path / "run", noisy())), clip)
    assert np.abs(from_file.astype(int) - from_run).max() <= 1
    assert (from_file != clip.truth).any()


def test_a_network_is_shown_what_its_manifest_says(
    file: Path, clip: ScoredClip, tmp_path: Path
) -> None:
    raw = copied(file, tmp_path, inputs={"reference": "none", "landmarks": False})
    network = TrainedNetwork("raw", raw)
    assert network.shown == InputsChoice(reference="none", landmarks=False)
    assert (filled(network, clip) != filled(TrainedNetwork("all", file), clip)).any()


def test_the_inputs_are_found_wherever_training_wrote_them() -> None:
    inputs = {"reference": "raw"}
    for manifest in ({"inputs": inputs}, {"recipe": {"inputs": inputs}},
                     {"training": {"recipe": {"inputs": inputs}}}):  # fmt: skip
        assert shown_by(manifest) == InputsChoice(reference="raw")
    assert shown_by({}) == InputsChoice()
    with pytest.raises(UserError, match="inputs cannot be read"):
        shown_by({"inputs": {"colour": "blue"}})


def test_a_network_that_looks_ahead_gets_the_whole_clip(clip: ScoredClip, tmp_path: Path) -> None:
    ahead = TrainedNetwork("ahead", run_folder(tmp_path / "run", noisy(shift="offline")))
    filler = ahead(Reference(clip.reference_image, clip.reference_mesh), 32)
    assert isinstance(filler, ClipFiller)
    assert isinstance(filler, WholeClipFiller)
    shown = filled(ahead, clip)
    short = ScoredClip(
        "s", "w", clip.reference_image, clip.reference_mesh,
        clip.truth[:4], clip.meshes[:4], clip.hidden[:4],
    )  # fmt: skip
    assert (filled(ahead, short)[3] != shown[3]).any()  # frame 4 was seen in frame 3
    with pytest.raises(ValueError, match="whole clips"):
        filler.fill(clip.truth[0], clip.hidden[0], clip.meshes[0])


def test_weights_tell_how_they_came_to_be(file: Path, tmp_path: Path) -> None:
    told = TrainedNetwork("a", file).testimony
    assert (told.steps, told.hours, told.device) == (12, 0.5, "an abacus")
    assert (told.architecture, told.width, told.size_px) == (EVI_HRNET, 8, 32)
    run = TrainedNetwork("b", run_folder(tmp_path / "night", noisy())).testimony
    assert (run.file, run.steps, run.hours, run.device) == ("night/best.pt", 7, None, NOT_TOLD)


@pytest.mark.parametrize(
    ("path", "message"),
    [("gone.onnx", "is missing"), ("gone", r"gone/best\.pt does not exist.*ONNX")],
)
def test_networks_that_are_not_there_are_explained(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "gone").mkdir()
    with pytest.raises(UserError, match=message):
        TrainedNetwork("a", tmp_path / path)


def test_a_file_without_its_manifest_is_explained(file: Path, tmp_path: Path) -> None:
    shutil.copyfile(file, tmp_path / "lone.onnx")
    with pytest.raises(UserError, match=r"no lone\.json beside it.*unvisor export"):
        TrainedNetwork("a", tmp_path / "lone.onnx")


def test_a_checkpoint_of_something_else_is_explained(tmp_path: Path) -> None:
    checkpoint.save({"step": 1, "eye_net": {}}, tmp_path / "best.pt")
    with pytest.raises(UserError, match="not an inpainting network's checkpoint"):
        TrainedNetwork("a", tmp_path)


def test_another_size_is_explained(file: Path, clip: ScoredClip) -> None:
    reference = Reference(clip.reference_image, clip.reference_mesh)
    with pytest.raises(UserError, match=r"cannot run at 128 px.*--filler-size 32"):
        TrainedNetwork("a", file)(reference, 128)


def test_names_of_weights_must_differ_from_each_other_and_from_fillers(file: Path) -> None:
    networks, alone = networks_of([f"a={file}", "other.onnx"], 1)
    assert set(networks) == {"a"}
    assert alone == Path("other.onnx")
    for given in ([f"warp={file}"], [f"a={file}", f"a={file}"]):
        with pytest.raises(UserError, match="already names a method"):
            networks_of(given, 1)


def test_the_command_scores_a_network_beside_the_fillers(
    root: Path, file: Path, tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command()(evaluate_command.evaluate)
    options = ["--data", str(root), "--method", "paste", "--weights", f"mine={file}"]
    options += ["--filler-size", "32", "--no-lpips", "--json", str(tmp_path / "s.json")]
    outcome = CliRunner().invoke(app, [*options, "--strips", str(tmp_path / "strips")])
    assert outcome.exit_code == 0, outcome.output
    document = json.loads((tmp_path / "s.json").read_text())
    assert set(document["methods"]) == {"paste", "mine"}
    assert document["methods"]["mine"]["weights"]["steps"] == 12
    assert document["worst_clips"]["mine"][0]["segment"] == "one"
    assert (tmp_path / "strips/worst/mine/1_one.png").is_file()


def test_a_network_fills_alike_in_one_go_and_in_the_two_halves_that_a_session_takes(
    file: Path, clip: ScoredClip, tmp_path: Path
) -> None:
    """The live protocol scored the prepared reference under the network's name."""
    reference = Reference(clip.reference_image, clip.reference_mesh)
    run = TrainedNetwork("run", run_folder(tmp_path / "run", noisy()))
    for network in (TrainedNetwork("file", file), run):
        wanted, filler = filled(network, clip), network(reference, 32)
        assert isinstance(filler, StagedFiller)
        filler.reset()
        crops = np.where(clip.hidden[..., None] != 0, np.uint8(0), clip.truth)
        for index, frame in enumerate(zip(crops, clip.hidden, clip.given, strict=True)):
            whole = filler.begin(*frame)()
            assert np.array_equal(whole, wanted[index]), f"{network.name}, frame {index}"


def test_a_network_that_looks_ahead_is_not_scored_where_frames_come_one_by_one(
    clip: ScoredClip, tmp_path: Path
) -> None:
    ahead = TrainedNetwork("ahead", run_folder(tmp_path / "run", noisy(shift="offline")))
    filler = ahead(Reference(clip.reference_image, clip.reference_mesh), 32)
    assert isinstance(filler, StagedFiller)
    with pytest.raises(UserError, match=r"'ahead' looks ahead.*another protocol"):
        filler.begin(clip.truth[0], clip.hidden[0], clip.meshes[0])


def test_what_a_network_does_not_start_from_lends_its_fill_no_detail(
    file: Path, clip: ScoredClip, tmp_path: Path
) -> None:
    """A session shows none either: the protocol detail measured what no session shows."""
    reference = Reference(clip.reference_image, clip.reference_mesh)
    frame = clip.truth[0], clip.hidden[0], clip.meshes[0]
    without = copied(file, tmp_path, inputs={"reference": "none"})
    for path, has_detail in ((file, True), (without, False)):
        filler = TrainedNetwork("a", path)(reference, 32)
        filler.fill(*frame)
        assert isinstance(filler, DetailedFiller)
        assert (filler.detail is not None) == has_detail
