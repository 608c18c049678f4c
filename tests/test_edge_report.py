"""The timing JSON of a session: all of it or nothing, and a sentence where it cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from edge.report import SessionReport, check_report_path, report_from_json, write_report
from streaming.errors import UserError


def a_report(**changes: Any) -> SessionReport:
    values: dict[str, Any] = {
        "frames": 10,
        "fps": 25.0,
        "capacity_fps": None,
        "age_ms": {},
        "drops": 0,
        "stages_ms": {},
        "cpu_cores": 1.0,
        "rss_mib": 100.0,
        "rss_mib_10s": None,
        "device": "a machine",
        "landmarks": "tracker",
        "filler": "unvisor",
        "size_px": 128,
        "paced": True,
    }
    return SessionReport(**{**values, **changes})


def test_a_report_comes_back_with_the_results_of_sinks(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    report = a_report(results={"psnr_db": 31.5})
    write_report(report, path)
    assert report_from_json(path.read_text()) == report


def test_a_disk_that_becomes_full_is_a_sentence_and_leaves_the_older_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_report(a_report(), path)
    before = path.read_text()

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("edge.report.json.dumps", full)
    with pytest.raises(UserError, match=r"report\.json cannot be written: No space left"):
        write_report(a_report(frames=11), path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_behind_a_symbolic_link_is_written_where_it_leads(tmp_path: Path) -> None:
    link, kept = tmp_path / "last.json", tmp_path / "kept.json"
    link.symlink_to(kept)
    write_report(a_report(frames=11), link)
    assert link.is_symlink()
    assert report_from_json(kept.read_text()) == a_report(frames=11)


def test_a_place_where_no_report_can_be_is_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, why in ((tmp_path, "it is a folder"), (tmp_path / "file" / "r.json", "exists")):
        with pytest.raises(UserError, match=rf"cannot be written: .*{why}"):
            check_report_path(path)
