"""Which commit runs and manifests are said to come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from models.checkout import UNKNOWN, commit


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "First")
    return tmp_path


def test_a_checkout_tells_its_commit_and_whether_files_differ_from_it(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit(root=checkout) == head
    assert commit(7, checkout) == head[:7]
    (checkout / "code.py").write_text("2\n")
    assert commit(7, checkout) == head[:7] + "+"


def test_a_copy_within_another_checkout_is_not_of_its_commit(checkout: Path) -> None:
    """Weights were said to come from a commit of the project that the copy lay in."""
    (checkout / "copy").mkdir()
    assert commit(root=checkout / "copy") == UNKNOWN


def test_a_machine_without_git_knows_no_commit(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training ended in a traceback, after its clips were decoded."""
    monkeypatch.setenv("PATH", "")
    assert commit(root=checkout) == UNKNOWN
