"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from streaming.whole_file import PRIVATE, STALE_S, whole_file, write_whole

ROOT = Path(__file__).parents[1]


def test_an_error_in_between_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_whole(path, b"old")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_when_the_content_comes_to_it_leaves_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.json"
    write_whole(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_is_removed_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    write_whole(path, b"old")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from streaming.whole_file import whole_file\n"
        f"with whole_file(Path({str(path)!r})) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {path}
    write_whole(path, b"new")  # as another process does meanwhile
    assert left.exists()
    long_ago = left.stat().st_mtime - STALE_S - 1
    os.utime(left, (long_ago, long_ago))
    write_whole(path, b"newer")
    assert list(tmp_path.iterdir()) == [path]


def test_links_stay_and_what_is_there_is_left_alone_unless_told(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept", tmp_path / "link"
    link.symlink_to(kept)
    write_whole(link, b"through")
    assert link.is_symlink()
    for path in (kept, link):
        with pytest.raises(FileExistsError):
            write_whole(path, b"new", replace=False)
    assert kept.read_bytes() == b"through"
    assert sorted(os.listdir(tmp_path)) == ["kept", "link"]


@pytest.mark.parametrize("name", ["server.key", "é" * 126])
def test_a_private_file_is_its_owners_alone_whatever_its_name(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"secret", PRIVATE, replace=False)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == PRIVATE
