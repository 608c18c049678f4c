"""The benchmarks command: what is scored, what is kept, and that the page says what was found."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from face_clip_files import write_folder
from typer.testing import CliRunner

pytest.importorskip("torch")

from models.shipped import SHIPPED_NETWORK, manifest_path
from streaming.errors import UserError
from training.evaluation import benchmarks_command, benchmarks_reports
from training.evaluation.aims import aim_lines
from training.evaluation.benchmarks_page import TITLES, page, protocols_in_order, unusual
from training.evaluation.plan import PROTOCOLS
from training.evaluation.run import Request


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [("one", "test", "ann", 35, "free"), ("two", "test", "bob", 35, "free")]
    folder = tmp_path_factory.mktemp("faces") / "set"
    return write_folder(folder, rows, np.zeros(35, np.float16))


def run(root: Path, results: Path, *options: str) -> str:
    """The page that the command writes; its errors are raised."""
    app = typer.Typer()
    app.command()(benchmarks_command.benchmarks)
    given = ["--data", str(root), "--results", str(results), "--output", str(results / "page.md")]
    small = ["--frames-only", "--filler-size", "32", "--helper-weights", "unused"]
    outcome = CliRunner().invoke(app, [*given, *small, "--no-lpips", *options])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return (results / "page.md").read_text()


def test_one_command_scores_every_protocol_and_writes_the_page(root: Path, tmp_path: Path) -> None:
    methods = ["--method", "paste", "--method", "warp"]
    text = run(root, tmp_path, *methods, "--protocol", "static-box", "--protocol", "hmd")
    assert text.index("## hmd:") < text.index("## static-box:")  # the page's order, not ours
    report = json.loads((tmp_path / "hmd.json").read_text())
    paste = report["methods"]["paste"]
    assert (
        f"| paste | {paste['psnr_db']:.2f} ± {paste['people_deviation']['psnr_db']:.2f} |" in text
    )
    assert "| paste | none |" in text
    assert "| ann |" in text
    assert "do not edit" in text


def test_every_protocol_has_its_section() -> None:
    assert set(TITLES) == set(PROTOCOLS)


def test_methods_that_a_report_holds_are_not_scored_again(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path, "--protocol", "hmd", "--method", "paste")
    path = tmp_path / "hmd.json"
    report = json.loads(path.read_text())
    report["methods"]["paste"]["psnr_db"] = 77.0
    path.write_text(json.dumps(report))
    text = run(root, tmp_path, "--protocol", "hmd", "--method", "paste", "--method", "warp")
    assert "| paste | 77.00 ±" in text
    assert set(json.loads(path.read_text())["methods"]) == {"paste", "warp"}
    alone = run(root, tmp_path, "--protocol", "hmd", "--method", "warp", "--no-score")
    assert "77.00" not in alone


def test_another_network_in_the_place_of_the_shipped_one_is_scored_anew(tmp_path: Path) -> None:
    """A new network's row showed what the one before it had scored."""
    other = tmp_path / "other.onnx"
    other.write_bytes(SHIPPED_NETWORK.read_bytes())
    manifest = json.loads(manifest_path(SHIPPED_NETWORK).read_text())
    manifest_path(other).write_text(json.dumps(manifest))
    shipped = Request(tmp_path, "hmd")
    report = {"methods": {"unvisor": {}, "warp": {}}}
    benchmarks_reports._tell_shipped(report, shipped)
    assert benchmarks_reports._holds(report, shipped, "unvisor")
    new = dataclasses.replace(shipped, unvisor=other)
    assert not benchmarks_reports._holds(report, new, "unvisor")
    assert benchmarks_reports._holds(report, new, "warp")


def test_a_report_made_otherwise_is_not_mixed_in(root: Path, tmp_path: Path) -> None:
    run(root, tmp_path, "--protocol", "hmd", "--method", "paste")
    with pytest.raises(UserError, match=r"made with limit_clips None, not 1.*--results"):
        run(root, tmp_path, "--protocol", "hmd", "--method", "paste", "--limit-clips", "1")
    report = json.loads((tmp_path / "hmd.json").read_text())
    report["methods"]["paste"]["lpips"] = 0.1
    (tmp_path / "hmd.json").write_text(json.dumps(report))
    with pytest.raises(UserError, match=r"made with LPIPS.*Leave out --no-lpips"):
        run(root, tmp_path, "--protocol", "hmd", "--method", "paste", "--method", "warp")
    (tmp_path / "hmd.json").write_text("{}")
    with pytest.raises(UserError, match="is not a report"):
        run(root, tmp_path, "--protocol", "hmd", "--method", "paste")


def test_rows_of_other_clips_are_not_put_side_by_side(root: Path, tmp_path: Path) -> None:
    """One table held rows of two folders, under the heading of the same frames."""
    run(root, tmp_path, "--protocol", "hmd", "--method", "paste")
    rows = [("one", "test", "ann", 35, "free"), ("three", "test", "eve", 35, "free")]
    other = write_folder(tmp_path / "other" / "set", rows, np.zeros(35, np.float16))
    with pytest.raises(UserError, match=r"made of other clips than .*--results"):
        run(other, tmp_path, "--protocol", "hmd", "--method", "paste", "--method", "warp")
    assert set(json.loads((tmp_path / "hmd.json").read_text())["methods"]) == {"paste"}


def test_the_page_names_the_commits_of_its_rows_not_its_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that an earlier commit had scored were told to be of the one that wrote the page."""
    monkeypatch.setattr(benchmarks_reports, "commit", lambda digits: "aaa"[:digits])
    assert "commit aaa." in run(root, tmp_path, "--protocol", "hmd", "--method", "paste")
    monkeypatch.setattr(benchmarks_reports, "commit", lambda digits: "bbb"[:digits])
    again = run(root, tmp_path, "--protocol", "hmd", "--method", "paste", "--no-score")
    assert "commit aaa." in again
    both = ["--method", "paste", "--method", "warp"]
    assert "commit aaa, bbb." in run(root, tmp_path, "--protocol", "hmd", *both)


def test_the_page_tells_the_command_that_made_its_rows(root: Path, tmp_path: Path) -> None:
    """It was told without the licence class, and for rows of val the split was test."""
    chosen = ["--protocol", "hmd", "--method", "paste", "--licence-class", "free"]
    command = "--split test --protocol hmd --filler-size 32 --licence-class free --measures images"
    assert command in run(root, tmp_path, *chosen)
    report = json.loads((tmp_path / "hmd.json").read_text())
    kept = {**report, "split": "val", "size_px": 64, "licence_classes": ["a", "b"]}
    (tmp_path / "hmd.json").write_text(json.dumps(kept))
    command = "--split val --protocol hmd --filler-size 64 --licence-class a --licence-class b"
    assert command in run(root, tmp_path, "--protocol", "hmd", "--no-score")


def test_a_report_that_cannot_be_written_leaves_the_one_before(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of scoring were lost to a disk that filled up while the file was written anew."""
    run(root, tmp_path, "--protocol", "hmd", "--method", "paste")
    kept = (tmp_path / "hmd.json").read_text()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        run(root, tmp_path, "--protocol", "hmd", "--method", "paste", "--method", "warp")
    assert (tmp_path / "hmd.json").read_text() == kept
    assert not list(tmp_path.glob(".*draft"))


def test_clips_that_are_too_short_for_a_protocol_are_counted_on_the_page() -> None:
    told = {"hmd-far": {**document(30.0, 29.0), "too_short": ["a", "b"]}}
    assert "Too short for it, and left out: 2." in page(told, "x", "y")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "hmd3"], r"no protocol 'hmd3'"),
        (["--protocol", "hmd", "--no-score"], "holds no report"),
        (["--protocol", "hmd", "--split", "val"], "no clip in split 'val'"),
    ],
)
def test_wrong_wishes_are_explained(
    root: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(root, tmp_path, "--method", "paste", *options)


def document(ours: float, warp: float, **more: Any) -> dict[str, Any]:
    common = {"filler": "x", "ssim": 0.97, "lpips": 0.01, "mse": 0.001, "per_person": {}}
    return {
        "split": "test", "size_px": 128, "clips": 3, "people": 2, "landmarks": "oracle",
        "methods": {
            "warp": {**common, "psnr_db": warp, "lpips": 0.02},
            "unvisor": {**common, "psnr_db": ours, **more},
        },
    }  # fmt: skip


def test_aims_say_yes_only_where_they_are_reached() -> None:
    documents = {
        "hmd": document(32.8, 32.0, warping_ratio=1.2),
        "eye-state": document(30.0, 30.0, eyes={"openness_r": 0.9}),
        "perturbed": document(30.0, 30.0, loss_db=3.0),
    }
    lines = {(line[0], line[1]): line[2:] for line in aim_lines(documents, "unvisor")}
    assert lines[("hmd", "PSNR over `warp`, dB")] == ["0.80", "≥ 0.7", "yes"]
    assert lines[("hmd", "LPIPS over `warp`'s")] == ["0.50", "≤ 0.75", "yes"]
    assert lines[("hmd", "warping error over the truth's")] == ["1.200", "≤ 1.15", "no"]
    assert lines[("eye-state", "blink fidelity r")] == ["0.900", "≥ 0.85", "yes"]
    assert lines[("perturbed", "loss by erring landmarks, dB")] == ["3.00", "≤ 1", "no"]
    assert not any("evi-published" in what for _, what in lines)  # nobody scored it
    assert "| hmd | SSIM | 0.9700 | ≥ 0.965 | yes |" in page(documents, "c", "x")


def test_what_is_out_of_the_ordinary_is_named_most_so_first() -> None:
    clip = {
        "circumstances": {"turn_deg": 8.0, "light": 30.0, "movement": 0.001},
        "median": {"turn_deg": 4.0, "light": 10.0, "movement": 0.001},
    }
    assert unusual(clip) == (
        "light around the hole 30.0 of 255 (median 10.0); "
        "head turn to the reference 8.0° (median 4.0)"
    )
    assert unusual({"circumstances": {"light": 1.0}, "median": {"light": 1.0}}).startswith(
        "nothing"
    )


def test_a_page_says_its_size_and_the_command_that_writes_it(root: Path, tmp_path: Path) -> None:
    wanted = ["--method", "paste", "--protocol", "static-box", "--protocol", "face-mask"]
    text = run(root, tmp_path, *wanted)
    assert text.startswith("# Benchmarks at 32 px\n")
    assert (
        "unvisor benchmarks --data FACES --split test --protocol static-box --protocol face-mask "
        f"--filler-size 32 --output {tmp_path / 'page.md'} --method paste\n"
    ) in text
    boxed, covered = (
        json.loads((tmp_path / f"{name}.json").read_text())["methods"]["paste"]["psnr_masked_db"]
        for name in ("static-box", "face-mask")
    )
    assert f"| paste | {boxed:.2f} | {covered:.2f} |" in text


def test_protocols_scored_on_fewer_clips_have_a_command_of_their_own(
    root: Path, tmp_path: Path
) -> None:
    paste = ["--method", "paste"]
    run(root, tmp_path, *paste, "--protocol", "hmd")
    run(root, tmp_path, *paste, "--protocol", "static-box", "--limit-clips", "1")
    text = run(root, tmp_path, *paste, "--no-score")
    lines = [line for line in text.splitlines() if line.startswith("unvisor benchmarks")]
    assert ["--protocol hmd " in line for line in lines] == [True, False]
    assert [
        "--protocol static-box --filler-size 32 --limit-clips 1 " in line for line in lines
    ] == [
        False,
        True,
    ]


def test_protocols_of_other_measures_have_a_command_of_their_own(
    root: Path, tmp_path: Path
) -> None:
    text = run(root, tmp_path, "--method", "paste", "--protocol", "hmd", "--protocol", "static-box")
    lines = [line for line in text.splitlines() if line.startswith("unvisor benchmarks")]
    assert ["--protocol hmd " in line for line in lines] == [True, False]
    assert ["--measures images " in line for line in lines] == [True, False]  # usual for boxes


def test_rows_of_small_means_are_labelled_as_such() -> None:
    weights = {
        "architecture": "lgtsm", "file": "lgtsm-online/best.pt", "recipe": "lgtsm-online",
        "scale": "two-cores", "width": 16, "size_px": 64, "steps": 192, "run_steps": 240,
        "last_fifth_db": 0.128, "hours": 0.1, "device": "1 × CPU",
    }  # fmt: skip
    size = {"parameters": 763_000, "giga_macs": 0.3251, "cpu_ms": 4.24}
    text = page({"hmd": document(30.0, 30.0, weights=weights, size=size)}, "c", "x")
    row = "| 16 | 64 | 0.76 | 0.325 | 4.2 | 192 of 240 | 0.10 | +0.13 | 1 × CPU |"
    assert row in text
    assert "training/recipes/scales/two-cores.toml" in text
    assert "added nothing" not in text
    untrained = weights | {"steps": 0}
    text = page({"hmd": document(30.0, 30.0, weights=untrained, size=size)}, "c", "x")
    assert "| 0 of 240 |" in text
    assert "added nothing" in text
    assert "scales/" not in page({"hmd": document(30.0, 30.0)}, "c", "x")


def test_runs_of_different_lengths_are_told_apart() -> None:
    weights = {
        "architecture": "lgtsm", "file": "best.pt", "scale": "two-cores", "steps": 240,
        "run_steps": 240, "device": "1 × CPU",
    }  # fmt: skip
    size = {"parameters": 763_000, "giga_macs": 0.3251, "cpu_ms": 4.24}
    of_two = document(30.0, 30.0, weights=weights, size=size)
    ours = of_two["methods"]["unvisor"]
    assert "side by side" not in page({"hmd": of_two}, "c", "x")
    of_two["methods"]["longer"] = ours | {"weights": weights | {"run_steps": 720}}
    assert "Runs of 240 and 720 steps stand side by side" in page({"hmd": of_two}, "c", "x")


def test_protocols_come_in_the_pages_order() -> None:
    assert protocols_in_order(["turned", "hmd", "moving-box"]) == ["hmd", "moving-box", "turned"]
