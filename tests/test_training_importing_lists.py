"""The lists of an import hold whole lines only, on a full disk and after a kill."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import pytest
from full_disk import largest_file

from training.importing.lists import append_line, append_row

COLUMNS = ("segment", "frames")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_come_back_under_one_header_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "faces" / "manifest.csv"
    for number in range(3):
        append_row(path, COLUMNS, {"segment": f'an "odd", name {number}', "frames": number})
    assert [row["frames"] for row in rows(path)] == ["0", "1", "2"]
    assert rows(path)[2]["segment"] == 'an "odd", name 2'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("known", [0, 1])
def test_a_full_disk_leaves_no_part_of_a_row(tmp_path: Path, known: int) -> None:
    path = tmp_path / "manifest.csv"
    for number in range(known):
        append_row(path, COLUMNS, {"segment": f"ann_{number:02d}", "frames": 40})
    before = path.read_bytes() if known else b""
    with largest_file(len(before) + 6), pytest.raises(OSError, match=r"space|large"):
        append_row(path, COLUMNS, {"segment": "bob_00", "frames": 40})
    assert path.read_bytes() == before
    append_row(path, COLUMNS, {"segment": "bob_00", "frames": 40})
    assert [row["segment"] for row in rows(path)] == ["ann_00", "bob_00"][1 - known :]


def test_what_a_kill_left_of_a_line_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "imported.txt"
    path.write_text("ann/walk.mp4\nann/ta")
    append_line(path, "ann/talk.mp4\n")
    assert path.read_text() == "ann/walk.mp4\nann/talk.mp4\n"
