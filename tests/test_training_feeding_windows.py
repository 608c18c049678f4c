"""Feeding from windows of parts: what lies on the disk, and whom a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from training.feeding import decoded, feeder
from training.feeding.feeder import Shelf
from training.feeding.sources import Part
from training.recipes.schema import Batch, Recipe
from training.shards.layout import ClipEntry

ROOT = Path(__file__).parents[1]
SIZE_PX = 64
RECIPE = Recipe(batch=Batch(stream_frames=16, chunk_frames=4, window_parts=1))
KILLED = """
import os, signal
from streaming.errors import UserError
from training.feeding.workers import Order, WorkerMakers
from training.feeding.streams import StreamSettings

if __name__ == "__main__":
    makers = WorkerMakers(StreamSettings(frames=8), 0, 64, 1)
    makers.order(Order(0, ("nowhere",)))
    try:
        makers.take(wait=True)
    except UserError:
        print("the worker works", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Blank:
    """A clip of grey frames."""

    entry: ClipEntry

    def images(self, size_px: int) -> np.ndarray:
        return np.full((self.entry.frames, size_px, size_px, 3), 90, np.uint8)

    def meshes(self, size_px: int) -> np.ndarray:
        return np.zeros((self.entry.frames, 478, 3), np.float32)


def a_part(key: str, frames: int = 32, clips: int = 1) -> Part:
    entries = tuple(
        ClipEntry(f"{key}{i}", "train", f"{key}{i}", frames, "", "") for i in range(clips)
    )

    def read() -> Iterator[Blank]:
        return (Blank(entry) for entry in entries)

    return Part(key, entries, read)


def test_a_window_that_comes_round_again_is_not_deleted_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With three windows the first one's clips vanished while it was looked for once more."""
    is_found, may_say = threading.Event(), threading.Event()
    forget = decoded.forget

    def decode(part: Part, size_px: int, folder: Path, *more: object) -> Path:
        place = folder / f"{part.key}-{size_px}"
        if place.is_dir():
            is_found.set()
            may_say.wait(10)  # found, but slow to say so
        else:
            place.mkdir(parents=True)
        return place

    def forget_later(folder: Path) -> None:
        is_found.wait(10)
        forget(folder)

    monkeypatch.setattr(feeder.decoded, "decode", decode)
    monkeypatch.setattr(feeder.decoded, "forget", forget_later)
    shelf = Shelf([a_part(key) for key in "abc"], RECIPE, SIZE_PX, tmp_path, 1)
    each = 2  # streams of 16 frames in a part of 32
    for turn in range(3):
        shelf.parts_of(turn * each)
    may_say.set()
    (again,) = shelf.parts_of(3 * each)
    shelf.close()
    assert Path(again).name == f"a-{SIZE_PX}"
    assert Path(again).is_dir()


def test_a_shard_of_short_clips_is_left_out_and_ends_no_training(tmp_path: Path) -> None:
    """Its turn came after hours, and the training ended."""
    parts = [a_part("long"), a_part("short", frames=16)]
    shelf = Shelf(parts, RECIPE, SIZE_PX, tmp_path, 1)
    seen = {Path(folder).name for stream in range(6) for folder in shelf.parts_of(stream)}
    shelf.close()
    assert seen == {f"long-{SIZE_PX}"}


def test_decoded_clips_have_their_place_on_the_disk_before_they_are_written(
    tmp_path: Path,
) -> None:
    """A mapped file that grows on a full disk ends the process by a signal, without a word."""
    sizes = []

    def look(segment: str) -> None:
        for path in tmp_path.glob("*.partial/*.npy"):
            told = path.stat()
            sizes.append((told.st_blocks * 512, told.st_size))

    decoded.decode(a_part("a", clips=4), SIZE_PX, tmp_path, 1, look)
    assert len(sizes) == 8
    assert all(taken >= size for taken, size in sizes)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_workers_end_when_the_training_is_killed(tmp_path: Path) -> None:
    """They waited for orders for ever, each with its memory."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=40)  # ends when nobody holds the pipe any more
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert said == b"the worker works\n"
    assert process.returncode == -signal.SIGKILL
