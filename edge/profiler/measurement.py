"""Measures the product by running it: paced for age and drops, then unpaced for its capacity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.camera import is_live
from edge.profiler.probe import Probe
from edge.report import SessionReport
from edge.settings import SessionSettings, override
from edge.status_line import StatusLine
from edge.supervisor import OnStatus, run_session
from edge.video_file import VideoFile

CAPACITY_S = 20.0  # of video in the second run
CUT_SHORT = 0.9  # of the frames to come: fewer mean that the user ended the run


def measure(
    settings: SessionSettings,
    console: Console,
    *,
    watcher: Callable[[StatusLine], OnStatus] = lambda line: line,
    probe: Probe | None = None,
    capacity_s: float = CAPACITY_S,
    passphrase: str | None = None,
) -> tuple[SessionReport, SessionReport | None]:
    """The paced run and the capacity run, which a live camera and an early end leave out.

    `watcher` stands between the session and the status line; `probe` looks on at the paced run.
    `capacity_s` of video, 0 = leave the capacity run out. `passphrase` opens an encrypted profile.

    Raises:
        UserError: a part of the product could not start or failed.
    """
    with StatusLine(console) as line:
        paced = run_session(settings, watcher(line), probe=probe, passphrase=passphrase)
    source = settings.edge.camera.source
    if is_live(source) or not capacity_s or was_stopped_early(settings, paced):
        return paced, None
    console.print("measuring how fast it could go, without preview and recording …")
    with StatusLine(console) as line:
        return paced, run_session(
            capacity_settings(settings, capacity_s), line, passphrase=passphrase
        )


def capacity_settings(settings: SessionSettings, seconds: float = CAPACITY_S) -> SessionSettings:
    """The same without pace and without anything that only watches."""
    limit_s = settings.edge.camera.seconds or seconds
    return override(
        settings,
        {
            "edge.camera.paced": False,
            "edge.camera.seconds": min(seconds, limit_s),
            "edge.preview.enabled": False,
            "edge.recording.path": "",
            "edge.quality": False,
            "edge.spans": "",
            "edge.report": "",  # it is of the paced run
            "edge.osc.enabled": False,  # an avatar would see eyes in quick motion
        },
    )


def was_stopped_early(settings: SessionSettings, report: SessionReport) -> bool:
    """Fewer frames came than the clip or the wanted length has: the user ended the run."""
    camera = settings.edge.camera
    video = VideoFile(Path(camera.source), camera.playback, camera.max_width_px)
    wanted = camera.seconds * video.fps
    if camera.playback == "once" and video.frame_count:
        wanted = min(wanted, video.frame_count) if camera.seconds else float(video.frame_count)
    return report.frames + report.drops < CUT_SHORT * wanted


def timing_tree(paced: SessionReport, capacity: SessionReport | None) -> dict[str, Any]:
    """The timing JSON of both runs."""
    tree = paced.to_tree()
    if capacity is not None:
        tree["capacity_fps"] = capacity.capacity_fps
        tree["capacity"] = {
            "frames": capacity.frames,
            "cpu_cores": capacity.cpu_cores,
            "stages_ms": dict(capacity.stages_ms),
        }
    return tree
