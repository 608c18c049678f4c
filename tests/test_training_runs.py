"""`unvisor train` from shards to a network: it survives kills, full disks and bad data."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from full_disk import largest_file

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")
pytest.importorskip("av", reason="PyAV is only in the train and dev extras")

from drawn_training import small_options, write_lpips, write_shards

from models import checkout
from streaming.errors import UserError
from training.run import checkpoint
from training.run.folder import RunFolder
from training.shards.layout import read_index, write_index
from training.train import train

ROOT = Path(__file__).parents[1]
STEPS = 12
UNNEEDED = ("av", "mediapipe", "onnx", "onnxruntime", "zmq", "msgpack")  # on a training machine


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_lpips(folder / "weights")
    return write_shards(folder)


def start(shards: Path, run: Path, *changes: str, **options: Any) -> None:
    """The command in this process."""
    given = {"steps": STEPS, "workers": 0, "helper_weights": shards.parent / "weights"} | options
    train(shards, run, "unvisor", change=[*small_options(), *changes], **given)


def command(shards: Path, run: Path, *more: str) -> list[str]:
    """The command as one that another process runs."""
    changes = [word for each in small_options() for word in ("--set", each)]
    places = ["--data", str(shards), "--run", str(run)]
    weights = ["--helper-weights", str(shards.parent / "weights")]
    return ["edge", "train", *places, *weights, *changes, "--workers", "0", *more]


def curve(run: Path) -> list[dict[str, Any]]:
    lines = (run / "curve.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def last_step(run: Path) -> int:
    """The last step that the curve tells of, 0 while there is none."""
    try:
        return int(curve(run)[-1]["step"])
    except (OSError, IndexError, ValueError):
        return 0


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_run_that_was_killed_ends_as_one_that_was_not(shards: Path, tmp_path: Path) -> None:
    """Same curve, same weights, to the last digit; killed while it trained, saved or validated.

    The killed one has what a training machine has: it did not start without PyAV.
    """
    start(shards, tmp_path / "whole")
    run, bare = tmp_path / "killed", tmp_path / "bare"
    bare.mkdir()
    for name in UNNEEDED:
        (bare / f"{name}.py").write_text("raise ImportError('not on this machine')\n")
    words = [sys.executable, "-m", *command(shards, run, "--steps", str(STEPS))]
    environment = {**os.environ, "PYTHONPATH": str(bare)}
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    try:
        while last_step(run) < 4 and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.stderr is not None
        told = process.stderr.read()
        process.wait()
    saved = checkpoint.load(run / "last.pt")["step"]
    assert 3 <= saved < STEPS, told
    assert RunFolder(run).load_states(saved, 0), "its streams would begin anew"
    start(shards, run)
    assert curve(run) == curve(tmp_path / "whole")
    for name in ("last.pt", "best.pt"):
        one, other = (checkpoint.load(folder / name) for folder in (run, tmp_path / "whole"))
        for key, weights in one["average"].items():
            assert torch.equal(weights, other["average"][key]), key
    assert sorted(path.name for path in run.glob("last-*")) == [f"last-states-0-{STEPS}.pt"]
    assert not (run / "decoded").exists()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_two_processes_train_one_network(shards: Path, tmp_path: Path) -> None:
    """Each on its share of the streams; the first one writes, and both keep their states."""
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ours = command(shards, tmp_path / "run", "--steps", "3")
    words = [sys.executable, *together, "-m", "--", *ours]  # without -- torchrun reads our --run
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    steps = [row["step"] for row in curve(tmp_path / "run") if "validation" not in row]
    assert steps == [1, 2, 3]
    testimony = json.loads((tmp_path / "run" / "settings.json").read_text(encoding="utf-8"))
    assert testimony["device"] == "2 × CPU"
    states = [RunFolder(tmp_path / "run").load_states(3, rank) for rank in (0, 1)]
    assert not torch.equal(states[0][-1], states[1][-1])  # each of its own streams


@pytest.mark.slow
def test_workers_make_what_one_process_makes(shards: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        start(shards, tmp_path / str(workers), steps=4, workers=workers)
    assert curve(tmp_path / "0") == curve(tmp_path / "2")


def test_a_run_leaves_what_tells_where_its_weights_come_from(shards: Path, tmp_path: Path) -> None:
    start(shards, tmp_path, steps=2, licence_class=["permissive"], seed=3)
    told = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    best = checkpoint.load(tmp_path / "best.pt")
    for document in (told, scores, best):
        assert (document["seed"], document["licence_classes"]) == (3, ["permissive"])
        assert document["data_hash"]
        assert document["commit"]
    assert told["recipe"]["network"]["settings"]["width"] == 8
    rows = curve(tmp_path)
    assert [row["step"] for row in rows] == [0, 1, 2, 2]
    assert all(math.isfinite(value) for value in rows[1].values())


def test_a_run_that_goes_on_otherwise_says_so_and_keeps_what_was(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The settings of the first steps were written over: nothing told what made the weights."""
    for steps in (1, 2):
        start(shards, tmp_path, steps=steps)
    assert "before" not in json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
    start(shards, tmp_path, "losses.l1=2.0", steps=3)
    assert "another recipe than before" in caplog.text
    told = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
    assert told["recipe"]["losses"]["l1"] == 2
    (before,) = told["before"]
    assert (before["until_step"], before["recipe"]["losses"]["l1"]) == (2, 1)


def test_a_run_of_a_copy_says_that_nothing_will_tell_its_commit(
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its networks' manifests said `unknown`, and nobody had been told in time."""
    monkeypatch.setattr(checkout, "commit", lambda: checkout.UNKNOWN)
    start(shards, tmp_path, steps=1)
    assert (
        json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))["commit"] == "unknown"
    )
    assert "no git checkout" in caplog.text
    assert str(tmp_path / "settings.json") in caplog.text


def test_a_person_who_is_trained_on_is_not_validated_on(shards: Path, tmp_path: Path) -> None:
    index = read_index(shards)
    known = index.shards[0].clips[0].identity
    of_val = [shard for shard in index.shards if shard.split == "val"]
    clips = tuple(dataclasses.replace(clip, identity=known) for clip in of_val[0].clips)
    both = (index.shards[0], dataclasses.replace(of_val[0], clips=clips))
    write_index(dataclasses.replace(index, shards=both), tmp_path)
    with pytest.raises(UserError, match=f"'{known}' is in the splits train and val"):
        start(tmp_path, tmp_path / "run", helper_weights=shards.parent / "weights")


def test_a_person_who_is_trained_on_is_not_tested_on_either(shards: Path, tmp_path: Path) -> None:
    """Only val was looked at; the test split would have measured memory."""
    index = read_index(shards)
    test = dataclasses.replace(index.shards[0], split="test")
    known = index.shards[0].clips[0].identity
    write_index(dataclasses.replace(index, shards=(*index.shards, test)), tmp_path)
    with pytest.raises(UserError, match=f"'{known}' is in the splits train and test"):
        start(tmp_path, tmp_path / "run", helper_weights=shards.parent / "weights")


def test_what_cannot_be_validated_starts_no_workers(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They and their shared memory were left behind."""
    started: list[object] = []
    monkeypatch.setattr("training.inpainting.Feeder", lambda *given, **more: started.append(given))
    with pytest.raises(UserError, match="helper networks"):
        start(shards, tmp_path, helper_weights=tmp_path / "nowhere")
    assert not started


def test_clips_shorter_than_a_stream_are_refused(shards: Path, tmp_path: Path) -> None:
    """As with clips of less than 20 frames under the recipe's 32."""
    with pytest.raises(UserError, match=r"longer than 32 frames \(the longest has 14\)"):
        start(shards, tmp_path, "batch.stream_frames=32")


def test_too_small_a_gpu_is_said_in_a_sentence(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("training.train._train", full)
    with pytest.raises(UserError, match=r"memory is too small.*batch\.streams"):
        start(shards, tmp_path)


def test_a_run_of_another_network_is_refused_and_kept(shards: Path, tmp_path: Path) -> None:
    start(shards, tmp_path, steps=1)
    kept = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(UserError, match="another network or adversary"):
        start(shards, tmp_path, "network.settings.width=16")
    torch.save({"of": "another kind"}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="holds no inpainting network"):
        start(shards, tmp_path / "new", start_from=tmp_path / "other.pt")
    assert (tmp_path / "last.pt").read_bytes() == kept


def test_a_disk_that_fills_up_ends_the_run_and_keeps_its_checkpoint(
    shards: Path, tmp_path: Path
) -> None:
    start(shards, tmp_path, steps=1)
    kept = (tmp_path / "last.pt").read_bytes()
    with largest_file(len(kept) // 2), pytest.raises(UserError, match="could not be saved"):
        start(shards, tmp_path, steps=2)
    assert (tmp_path / "last.pt").read_bytes() == kept
    start(shards, tmp_path, steps=2)  # there is room again
    assert checkpoint.load(tmp_path / "last.pt")["step"] == 2


def test_scores_are_those_of_the_best_network_after_a_kill_between_them(
    shards: Path, tmp_path: Path
) -> None:
    """The score of a resumed run is no better than its own: scores.json stayed as it was."""
    start(shards, tmp_path, steps=1)
    whole = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    earlier = whole | {"step": -1, "validation": {"psnr_db": 0.0}}
    for left in (earlier, None):
        (tmp_path / "scores.json").unlink()
        if left is not None:
            RunFolder(tmp_path).write("scores.json", left)
        start(shards, tmp_path, steps=1)
        assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8")) == whole


def test_a_kill_between_states_and_checkpoint_loses_neither(tmp_path: Path) -> None:
    """New states took the place of those that the last checkpoint goes on from."""
    folder = RunFolder(tmp_path)
    folder.save_states(4, 0, [torch.ones(1)])
    folder.save({"step": 4})
    folder.save_states(5, 0, [torch.zeros(1)])  # and then the kill
    assert folder.load_states(4, 0) == [torch.ones(1)]
    folder.save_states(5, 1, [])
    folder.forget_states_but(5, 0)
    assert folder.load_states(4, 0) is None
    assert folder.load_states(5, 0) == [torch.zeros(1)]
    assert folder.load_states(5, 1) == []


def test_a_curve_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with largest_file(0), pytest.raises(checkpoint.CheckpointError, match="Free disk space"):
        folder.record({"step": 1})
    folder.write("scores.json", {"step": 1})
    with largest_file(0), pytest.raises(checkpoint.CheckpointError, match="could not be written"):
        folder.write("scores.json", {"step": 2})
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8")) == {"step": 1}
