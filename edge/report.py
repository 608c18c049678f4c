"""What a run measured: the timing JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming.errors import UserError
from streaming.whole_file import write_whole


@dataclass(frozen=True)
class SessionReport:
    """Keys of the timing JSON; times in ms unless the name says otherwise."""

    frames: int  # processed by the pipeline
    fps: float  # as processed
    capacity_fps: float | None  # `fps` of an unpaced run, where nothing waits for the camera
    age_ms: Mapping[
        str, float
    ]  # p50, p95, p99, max from capture to a client on this machine; paced runs
    drops: int  # camera frames that the pipeline never saw
    stages_ms: Mapping[str, Mapping[str, float]]  # p50, p95, p99, max per stage
    cpu_cores: float  # mean cores kept busy by all processes of the product
    rss_mib: float  # resident memory of the edge process at the end
    rss_mib_10s: float | None  # the same ten seconds after the start; None if it was over by then
    device: str
    landmarks: str  # oracle | tracker | mediapipe; several, that of most frames first
    filler: str
    size_px: int
    paced: bool
    network: str = ""  # file of the filler's network; empty = it has none
    client: Mapping[str, Any] = field(default_factory=dict)  # what the measuring client saw
    results: Mapping[str, float] = field(default_factory=dict)  # of sinks: psnr_db, …
    statuses: Mapping[str, int] = field(default_factory=dict)  # frames per status
    engines: Mapping[str, str] = field(default_factory=dict)  # what ran each network, by network
    eyes: str = "network"  # who read the eye cameras: network | oracle

    def to_tree(self) -> dict[str, Any]:
        """Plain tree for JSON; the sinks' results stand at the top level."""
        tree = dataclasses.asdict(self)
        tree.update(tree.pop("results"))
        return tree


def report_from_json(text: str) -> SessionReport:
    """Read what `write_report` wrote; unknown top-level numbers are sinks' results."""
    tree = json.loads(text)
    known = {field.name for field in dataclasses.fields(SessionReport)} - {"results"}
    results = {key: value for key, value in tree.items() if key not in known}
    return SessionReport(**{k: v for k, v in tree.items() if k in known}, results=results)


def check_report_path(path: Path) -> None:
    """Make the report's folder; raises UserError, before a session, if none could be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error.strerror or "no reason given") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise _unwritable(path, "it is a folder" if path.is_dir() else "its folder is read-only")


def _unwritable(path: Path, reason: str) -> UserError:
    return UserError(
        f"The report {path} cannot be written: {reason}.",
        "Name another --report, or make room there.",
    )


def write_report(report: SessionReport, path: Path) -> None:
    """Write the JSON in one step: a reader sees all of it or the older one.

    Raises:
        UserError: it cannot be written, as when the disk became full during the session.
    """
    try:
        path = Path(os.path.realpath(path))  # whose folder is made
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(report.to_tree(), indent=1).encode())
    except OSError as error:
        raise _unwritable(path, error.strerror or "no reason given") from error
