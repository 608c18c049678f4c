"""Lists that grow line by line and hold whole lines only, whatever stops the writing."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def append_row(path: Path, columns: Sequence[str], row: Mapping[str, str | int]) -> None:
    """Add a row to a CSV file, which begins with the names of its columns; see `append_line`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    if not path.exists() or not _whole_lines(path):
        writer.writeheader()
    writer.writerow(row)
    append_line(path, text.getvalue())


def append_line(path: Path, line: str) -> None:
    """Add text that ends in a line's end, whole or not at all; only the owner can read the file.

    What a killed process left of a line is taken away first. Raises OSError; the file is then as it
    was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0, opener=_private) as file:
        size = _whole_lines(path)
        file.truncate(size)
        content = line.encode()
        try:
            if file.write(content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            file.truncate(size)
            raise


def _whole_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
