"""Which commit this code is: what runs, manifests and reports say they were made by."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNKNOWN = "unknown"


def commit(digits: int = 40, root: Path = ROOT) -> str:
    """Commit of the checkout at `root`, with `+` when files differ from it.

    `unknown` where that is no checkout (a copy or an installation, though it may lie within another
    project's checkout), or where there is no git.
    """
    told = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
    if len(told) != 2 or not _is_same(Path(told[0]), root):
        return UNKNOWN
    return told[1][:digits] + "+" * bool(_git(root, "status", "--porcelain", "-uno"))


def _git(root: Path, *words: str) -> str:
    """What git says at `root`; nothing when it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
