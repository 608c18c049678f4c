"""Protocols and evaluation on clips made here, whose right scores are known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from face_clip_files import face_mesh, write_clip
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.export import export_network
from models.filling import Filler, Reference
from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from streaming.errors import UserError
from training import protocol
from training.clips.faces import FaceClip, FaceClips, FaceDataError
from training.evaluation import evaluate as evaluation
from training.evaluation import evaluate_command
from training.masks.coverings import headset_mask
from training.reports import scores as score_report

SHARED_FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"
FRAMES = 80
COLUMNS = ["segment", "split", "identity", "frames"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    for folder in ("video", "landmarks"):
        (root / folder).mkdir()
    yaw = np.zeros(FRAMES, np.float16)
    yaw[50], yaw[10] = -20, 30  # frame 10 is scored, so it is no reference
    write_clip(root, "long", FRAMES, yaw)
    write_clip(root, "short", 40, yaw[:40])
    rows = [["long", "test", "ann", FRAMES], ["short", "test", "bob", 40]]
    with open(root / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return root


class Paste:
    """Puts the reference's pixels in the hole."""

    name = "paste"

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def fill(
        self, crop: NDArray[np.uint8], hidden: NDArray[np.uint8], mesh: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        assert self.resets == 1
        assert not crop[hidden != 0].any(), "a filler must not be shown the hidden pixels"
        return np.where(hidden[..., None] != 0, self.reference.image, crop)


class Everywhere(Paste):
    """Changes pixels that it was told to leave alone."""

    name = "everywhere"

    def fill(
        self, crop: NDArray[np.uint8], hidden: NDArray[np.uint8], mesh: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        return self.reference.image


def make_paste(reference: Reference, size_px: int) -> Filler:
    return Paste(reference)


def row_of(root: Path, segment: str) -> FaceClip:
    return next(row for row in FaceClips(root).all_rows if row.segment == segment)


def test_hmd_scores_the_frames_after_the_reference(root: Path) -> None:
    clips, row = FaceClips(root), row_of(root, "long")
    images = clips.frames(row, 128)
    clip = protocol.load(clips, row, "hmd")
    np.testing.assert_array_equal(clip.reference_image, images[0])
    np.testing.assert_array_equal(clip.truth, images[1:33])
    np.testing.assert_allclose(clip.reference_mesh, face_mesh(128), atol=0.2)
    assert images[33].mean() - images[0].mean() == pytest.approx(33, abs=3)


def test_hmd_far_takes_the_most_turned_frame_after_the_scored_ones(root: Path) -> None:
    clips, row = FaceClips(root), row_of(root, "long")
    images = clips.frames(row, 128)
    clip = protocol.load(clips, row, "hmd-far")
    np.testing.assert_array_equal(clip.reference_image, images[50])
    np.testing.assert_array_equal(clip.truth, images[1:33])


def test_clips_too_short_for_far_are_named_not_scored(root: Path) -> None:
    kept, short = protocol.eligible(FaceClips(root).rows("test"), "hmd-far")
    assert [row.segment for row in kept] == ["long"]
    assert [row.segment for row in short] == ["short"]
    with pytest.raises(UserError, match="75 frames"):
        protocol.eligible(short, "hmd-far")


def test_a_clip_of_one_scored_frame_is_too_short_for_what_changes_between_frames(
    root: Path,
) -> None:
    row = replace(FaceClips(root).rows("test")[0], frames=2)
    with pytest.raises(UserError, match="3 frames"):
        protocol.eligible([row], "hmd")


def test_an_unknown_protocol_lists_the_known_ones(root: Path) -> None:
    with pytest.raises(UserError, match=r"'hmd2'.*hmd or hmd-far"):
        protocol.eligible(FaceClips(root).rows("test"), "hmd2")


def test_the_box_covers_the_eyes_and_no_mouth() -> None:
    mesh = face_mesh(128)
    hidden = headset_mask(mesh, 128)
    assert set(np.unique(hidden)) == {0, 1}
    for corner in (33, 263):
        x, y = mesh[corner, :2].astype(int)
        assert hidden[y, x] == 1
    rows, columns = np.nonzero(hidden)
    eye_span = 0.24 * 128
    # Wider than the face by its factor, as high as the eyes are apart, a little below the eyes.
    assert np.ptp(columns) == pytest.approx(1.05 * 0.4 * 128, abs=1.5)
    assert np.ptp(rows) == pytest.approx(1.05 * eye_span, abs=1.5)
    assert rows.mean() == pytest.approx(0.45 * 128 + 0.05 * eye_span, abs=1)


def test_the_box_turns_with_the_eyes() -> None:
    hidden = headset_mask(face_mesh(128, turn=0.08), 128)
    left, right = hidden[:, 45].nonzero()[0].mean(), hidden[:, 83].nonzero()[0].mean()
    assert (right - left) / (83 - 45) == pytest.approx(0.08 / 0.24, abs=0.05)


def test_a_clip_shorter_than_its_manifest_row_is_refused(root: Path) -> None:
    row = FaceClip("short", "test", "bob", frames=60)
    with pytest.raises(FaceDataError, match="40 images"):
        protocol.load(FaceClips(root), row, "hmd")


def test_scores_of_paste_are_those_worked_out_by_hand(root: Path) -> None:
    result = evaluation.evaluate_fillers(FaceClips(root), {"paste": make_paste})
    document = evaluation.report(result)
    assert (document["clips"], document["people"]) == (2, 2)
    scores = document["methods"]["paste"]
    assert set(scores["per_person"]) == {"ann", "bob"}
    # Frame k is k grey levels brighter than the reference in the hole, up to compression.
    masked = np.mean([(k / 255) ** 2 for k in range(1, 33)])
    assert scores["psnr_masked_db"] == pytest.approx(-10 * np.log10(masked), abs=0.4)
    people = [person["psnr_db"] for person in scores["per_person"].values()]
    assert scores["people_mean"]["psnr_db"] == pytest.approx(np.mean(people))
    assert "lpips" not in scores
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_filler_that_touches_known_pixels_is_caught(root: Path) -> None:
    with pytest.raises(ValueError, match="'everywhere' changed known pixels"):
        evaluation.evaluate_fillers(
            FaceClips(root), {"everywhere": lambda reference, _: Everywhere(reference)}
        )


def test_a_limit_spreads_over_the_split(root: Path) -> None:
    seen: list[str] = []
    evaluation.evaluate_fillers(
        FaceClips(root),
        {"paste": make_paste},
        limit_clips=1,
        on_clip=lambda index, total, clip, filled: seen.append(f"{index}/{total} {clip.segment}"),
    )
    assert seen == ["0/1 long"]


def test_the_table_says_which_filler_really_ran(root: Path) -> None:
    result = evaluation.evaluate_fillers(FaceClips(root), {"unvisor": make_paste}, limit_clips=1)
    table = score_report.markdown_table(evaluation.report(result))
    assert "| unvisor (ran paste) |" in table
    assert "oracle landmarks" in table


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(evaluate_command.evaluate)
    return app


def test_the_command_writes_json_markdown_and_strips(root: Path, tmp_path: Path) -> None:
    options = ["--data", str(root), "--method", "paste", "--method", "warp", "--no-lpips"]
    outputs = {"--json": "a/s.json", "--markdown": "t.md", "--strips": "strips"}
    for option, name in outputs.items():
        options += [option, str(tmp_path / name)]
    outcome = CliRunner().invoke(command(), options)
    assert outcome.exit_code == 0, outcome.output
    document = json.loads((tmp_path / "a/s.json").read_text())
    assert set(document["methods"]) == {"paste", "warp"}
    assert (tmp_path / "t.md").read_text().count("\n| ") >= 5
    strip = cv2.imread(str(tmp_path / "strips" / "long.png"))
    assert strip.shape == (5 * 128, 5 * 128, 3)  # reference, hole, two methods, truth


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "untrained.onnx"
    export_network(EviHrnet(NetworkSettings(width=8, size_px=32)), path, {})
    return path


def test_an_untrained_network_file_is_scored_and_starts_above_paste(
    root: Path, untrained: Path, tmp_path: Path
) -> None:
    options = ["--data", str(root), "--no-lpips", "--method", "unvisor", "--method", "paste"]
    options += ["--weights", str(untrained), "--filler-size", "32"]
    outcome = CliRunner().invoke(command(), [*options, "--json", str(tmp_path / "s.json")])
    assert outcome.exit_code == 0, outcome.output
    scores = json.loads((tmp_path / "s.json").read_text())["methods"]
    assert scores["unvisor"]["filler"] == "unvisor"
    # The clip brightens evenly; the start of the network takes the light from around the hole.
    assert scores["unvisor"]["psnr_db"] > scores["paste"]["psnr_db"] + 3


def test_a_network_of_another_size_is_explained(root: Path, untrained: Path) -> None:
    options = ["--data", str(root), "--no-lpips", "--method", "unvisor"]
    outcome = CliRunner().invoke(command(), [*options, "--weights", str(untrained)])
    assert isinstance(outcome.exception, UserError)
    assert "cannot run at 128 px: untrained.onnx works at 32 px" in str(outcome.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "missing"], "no manifest.csv"),
        (["--method", "magic"], "no method 'magic'"),
        (["--split", "demo"], "no clip in split 'demo'"),
        (["--helper-weights", "missing", "--lpips"], "get the helper networks"),
        (["--protocol", "live", "--licence-class", "paid"], "licence class paid"),
        (["--protocol", "bank", "--licence-class", "paid"], "licence class paid"),
        (["--protocol", "detail", "--licence-class", "paid"], "of which detail scores none"),
        (["--protocol", "eyes", "--licence-class", "paid"], "of which eyes scores none"),
    ],
)
def test_wrong_options_are_explained(root: Path, options: list[str], message: str) -> None:
    given = ["--data", str(root), "--no-lpips", *options]
    outcome = CliRunner().invoke(command(), given)
    assert outcome.exit_code != 0
    assert isinstance(outcome.exception, UserError)
    assert message in str(outcome.exception)


@pytest.mark.skipif(not SHARED_FACES.is_dir(), reason="needs ../shared/data/faces")
@pytest.mark.slow
def test_paste_reproduces_the_published_scores() -> None:
    expected = {
        "hmd": {"psnr_db": 26.74, "ssim": 0.8877, "mse": 0.00437, "psnr_masked_db": 15.99},
        "hmd-far": {"psnr_db": 23.44, "ssim": 0.8459, "mse": 0.00643, "psnr_masked_db": 14.32},
    }
    half_a_digit = {"psnr_db": 0.006, "ssim": 6e-5, "mse": 6e-6, "psnr_masked_db": 0.006}
    for name, published in expected.items():
        result = evaluation.evaluate_fillers(
            FaceClips(SHARED_FACES), {"paste": make_paste}, protocol=name
        )
        scores = evaluation.report(result)["methods"]["paste"]
        for key, value in published.items():
            assert scores[key] == pytest.approx(value, abs=half_a_digit[key]), (name, key)
