"""Saving a profile is interrupted at each of its system calls, in real child processes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from saved_profiles import NEW, OLD, small_profile, write_schema1

from edge.profile import (
    DOCUMENT,
    SessionProfile,
    load_profile,
    save_profile,
    update_profile,
)
from streaming.errors import UserError

ROOT = Path(__file__).parents[1]
SAVED, TOLD, INTERRUPTED = 0, 3, 4

# Runs once; forks for every step, since importing takes far longer than saving. For each line
# [folder, start, kind] it prints [exit code or -signal, ...], one for every step until saving is
# not interrupted.
CHILD = f"""
import errno, fcntl, json, os, shutil, signal, sys
from pathlib import Path
from edge.profile import save_profile
from streaming.errors import UserError
sys.path.insert(0, "tests")
from saved_profiles import NEW, small_profile

CALLS = ("open", "write", "fsync", "close", "replace", "unlink", "rmdir", "mkdir", "listdir")

os.fsync = lambda descriptor: None  # a step like any other; no power is cut here

def interrupt(real, arguments, kind):
    if real is write and kind in ("kill", "full"):
        write(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "ctrl-c":
        os.kill(os.getpid(), signal.SIGINT)  # Python raises KeyboardInterrupt soon after
    if kind == "full" and real in (write, makes, renames, syncs, opens):
        raise OSError(errno.ENOSPC, "No space left on device")

write, makes, renames, syncs, opens = os.write, os.mkdir, os.replace, os.fsync, os.open

def save(path, step, kind):
    left = [step]
    def wrapped(real):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                interrupt(real, arguments, kind)
            return real(*arguments, **options)
        return call
    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    fcntl.flock = wrapped(fcntl.flock)
    try:
        save_profile(small_profile(NEW), path)
    except UserError as error:
        os._exit({TOLD})
    except KeyboardInterrupt:
        os._exit({INTERRUPTED})
    os._exit({SAVED} if left[0] <= 0 else 99)

for line in sys.stdin:
    folder, start, kind = json.loads(line)
    codes = []
    for step in range(1, 200):
        path = Path(folder, str(step), "anna")
        if start:
            shutil.copytree(start, path)
        process = os.fork()
        if not process:
            save(path, step, kind)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code == 99:
            shutil.rmtree(path.parent)
            break
        codes.append(code)
    print(json.dumps(codes), flush=True)
"""


def which(folder: Path) -> float | None:
    """Which profile the folder holds, whole; None for none."""
    if not (folder / DOCUMENT).exists():
        with pytest.raises(UserError, match="There is no profile"):
            load_profile(folder)
        return None
    loaded = load_profile(folder)
    sharpness = loaded.quality["sharpness"]
    for ours, theirs in zip(small_profile(sharpness).references, loaded.references, strict=True):
        assert (ours.image == theirs.image).all()
        assert (ours.mesh == theirs.mesh).all()
    return sharpness


Interrupted = Callable[[Path, Path | None, str], list[int]]


@pytest.fixture(scope="module")
def interrupted() -> Iterator[Interrupted]:
    """Saves into subfolders 1, 2, ... of a folder, interrupted at that step; how each ended."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def run(folder: Path, start: Path | None, kind: str) -> list[int]:
            print(json.dumps([str(folder), str(start or ""), kind]), file=child.stdin, flush=True)
            codes: list[int] = json.loads(child.stdout.readline())
            assert len(codes) > 25  # so many steps that the interruption reached the writing
            return codes

        yield run
        child.stdin.close()
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("kill", "none"),
        ("kill", "schema 1"),
        ("kill", "schema 2"),
        ("full", "none"),
        ("full", "schema 2"),
        ("ctrl-c", "schema 2"),
    ],
)
def test_whatever_interrupts_a_save_a_whole_profile_is_there(
    interrupted: Interrupted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    start: str,
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of saves
    before: float | None = None
    old = None
    if start != "none":
        before, old = OLD, tmp_path / "old"
        write = write_schema1 if start == "schema 1" else save_profile
        write(small_profile(OLD), old)
    codes = interrupted(tmp_path / "steps", old, kind)
    found = []
    old_names = set(os.listdir(old)) if old else set()
    save_profile(small_profile(NEW), tmp_path / "new")
    new_names = set(os.listdir(tmp_path / "new"))
    for step, code in enumerate(codes, start=1):
        folder = tmp_path / "steps" / str(step) / "anna"
        left = set(os.listdir(folder)) if folder.exists() else set()
        found.append(which(folder))
        assert found[-1] in (before, NEW)
        if code == SAVED:
            assert found[-1] == NEW
        if code == TOLD:  # who can still tidy up leaves nothing behind
            assert left in (old_names, new_names)
        save_profile(small_profile(NEW), folder)  # an interruption stands in nobody's way
        assert which(folder) == NEW
        assert set(os.listdir(folder)) == new_names  # all remains are gone
    assert before in found
    assert NEW in found
    expected = {"kill": {-signal.SIGKILL}, "full": {SAVED, TOLD}, "ctrl-c": {INTERRUPTED}}[kind]
    assert set(codes) <= expected | ({SAVED} if kind == "ctrl-c" else set())
    assert len(set(codes) & expected) == len(expected)


def test_loading_removes_what_a_killed_save_left(interrupted: Interrupted, tmp_path: Path) -> None:
    old = tmp_path / "old"
    save_profile(small_profile(OLD), old)
    names = set(os.listdir(old))
    interrupted(tmp_path / "steps", old, "kill")
    folders = [path / "anna" for path in (tmp_path / "steps").iterdir()]
    assert any(any(".draft" in name for name in os.listdir(folder)) for folder in folders)
    for folder in folders:
        if which(folder) == OLD:
            assert set(os.listdir(folder)) == names


def test_a_disk_that_takes_no_more_leaves_the_old_profile(tmp_path: Path) -> None:
    """The kernel itself cuts the writes short here, as a full disk does."""
    save_profile(small_profile(OLD), tmp_path / "anna")
    names = set(os.listdir(tmp_path / "anna"))

    def limited(limit: int) -> Callable[[], None]:
        def limit_files() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return limit_files

    script = (
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "from pathlib import Path\n"
        "from saved_profiles import NEW, small_profile\n"
        "from edge.profile import save_profile\n"
        "from streaming.errors import UserError\n"
        "try: save_profile(small_profile(NEW), Path(sys.argv[1]))\n"
        "except UserError as error: sys.exit(str(error))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-B", "-c", script, str(tmp_path / "anna")],
        cwd=ROOT,
        preexec_fn=limited(4000),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome.returncode == 1
    assert "Cannot write the profile" in outcome.stderr
    assert set(os.listdir(tmp_path / "anna")) == names
    assert which(tmp_path / "anna") == OLD


def test_a_full_disk_is_told_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match=r"No space left on device.*Free some space"):
        save_profile(small_profile(NEW), tmp_path / "anna")
    assert not (tmp_path / "anna").exists()


def test_files_are_on_the_disk_before_the_document_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could keep the new document and lose the files."""
    done: list[tuple[str, str]] = []
    opened: dict[int, str] = {}
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def tracked_open(path: Path, *arguments: int) -> int:
        descriptor = real_open(path, *arguments)
        opened[descriptor] = Path(path).name
        return descriptor

    def tracked_sync(descriptor: int) -> None:
        real_sync(descriptor)
        done.append(("sync", opened[descriptor]))

    def tracked_replace(source: Path, target: Path) -> None:
        real_replace(source, target)
        done.append(("replace", target.name))

    monkeypatch.setattr(os, "open", tracked_open)
    monkeypatch.setattr(os, "fsync", tracked_sync)
    monkeypatch.setattr(os, "replace", tracked_replace)
    save_profile(small_profile(NEW), tmp_path / "anna")
    place = done.index(("replace", DOCUMENT))
    for name in os.listdir(tmp_path / "anna"):
        assert ("sync", name + ".draft") in done[:place]
    others = [i for i, (what, name) in enumerate(done) if what == "replace" and name != DOCUMENT]
    assert ("sync", "anna") in done[max(others) : place]  # the folder, after the last of them
    assert ("sync", "anna") in done[place:]


def test_what_two_programs_change_at_once_is_all_kept(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    save_profile(small_profile(OLD), folder)
    calls = []

    def first(profile: SessionProfile) -> SessionProfile:
        calls.append(profile.quality)
        if len(calls) == 1:  # another program saves between our loading and our saving
            update_profile(folder, lambda p: replace(p, quality={**p.quality, "theirs": 2.0}))
        return replace(profile, quality={**profile.quality, "ours": 1.0})

    saved = update_profile(folder, first)
    assert load_profile(folder).quality == {"sharpness": OLD, "theirs": 2.0, "ours": 1.0}
    assert saved.quality == load_profile(folder).quality
    assert len(calls) == 2


def test_readers_and_two_writers_at_once_see_whole_profiles_only(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    save_profile(small_profile(OLD), folder)
    troubles: list[BaseException] = []

    def write(sharpness: float) -> None:
        try:
            for _ in range(15):
                save_profile(small_profile(sharpness), folder)
        except BaseException as error:
            troubles.append(error)

    writers = [threading.Thread(target=write, args=(value,)) for value in (OLD, NEW)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(which(folder))
    for writer in writers:
        writer.join()
    assert not troubles
    assert seen <= {OLD, NEW}
    assert len(os.listdir(folder)) == 4
    shutil.rmtree(folder)
