"""What is measured: a camera or recording with a wearer's profile, or the demo's clip."""

from __future__ import annotations

import dataclasses
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from edge.camera import is_live
from edge.clips import demo_clip
from edge.demo_profile import profile_of_source
from edge.profile import profile_path, save_profile
from edge.settings import CameraSettings, SessionSettings, load_toml, override
from streaming.errors import UserError

PROFILE_S = 3.0  # of a bare face's video, for a profile when none is named


@dataclass(frozen=True)
class Wanted:
    """What the user asked for; None = nothing said."""

    config: Path | None = None
    profile: str | None = None
    camera: str | None = None
    simulate: bool = False
    landmarks: str | None = None
    filler: str | None = None
    seconds: float = 30.0


@contextmanager
def chosen_session(wanted: Wanted, console: Console) -> Iterator[SessionSettings]:
    """Settings of the session to measure, paced, without preview, recording and report.

    Without a camera and a config file the demo's clip is dressed with a simulated headset, on
    ports of its own. A profile that is needed and not named is made from the video's beginning
    and deleted afterwards.

    Raises:
        UserError: something is missing or cannot be read.
    """
    settings = load_toml(wanted.config) if wanted.config else SessionSettings()
    changes: dict[str, Any] = {
        "edge.camera.source": wanted.camera,
        "edge.camera.seconds": wanted.seconds,
        "edge.camera.paced": True,
        "edge.landmarks": wanted.landmarks,
        "edge.simulation.enabled": True if wanted.simulate else None,
        "edge.preview.enabled": False,
        "edge.recording.path": "",
        "edge.report": "",
        "models.filler": wanted.filler,
    }
    settings = override(settings, changes)
    source = settings.edge.camera
    if wanted.camera is None and wanted.config is None:
        settings, source = _on_the_demo_clip(settings)
    name = wanted.profile or settings.edge.profile
    with tempfile.TemporaryDirectory(prefix="unvisor-profile-") as folder:
        path = profile_path(name) if name else Path(folder) / "wearer"
        if not name:
            _make_profile(settings, source, path, console)
        yield override(settings, {"edge.profile": str(path)})


def _on_the_demo_clip(settings: SessionSettings) -> tuple[SessionSettings, CameraSettings]:
    clip = demo_clip()
    eyes, feed = _free_ports(2)
    changes = {
        "edge.camera.source": str(clip.path),
        "edge.camera.playback": "back-and-forth" if clip.is_back_and_forth else "loop",
        "edge.simulation.enabled": True,
        # A running product keeps its own ports.
        "streaming.control_port": 0,
        "streaming.publisher_port": 0,
        "hmd_capture.publisher": f"tcp://127.0.0.1:{eyes}",
        "hmd_capture.feed": f"tcp://127.0.0.1:{feed}",
    }
    return override(settings, changes), CameraSettings(source=str(clip.profile_path))


def _make_profile(
    settings: SessionSettings, source: CameraSettings, path: Path, console: Console
) -> None:
    if is_live(source.source) or not settings.edge.simulation.enabled:
        raise UserError(
            "No profile was named.",
            "Make one with `calibrate-reference --profile NAME`, then add --profile NAME.",
        )
    beginning = dataclasses.replace(source, seconds=PROFILE_S, playback="once")
    save_profile(profile_of_source(beginning, console), path)


def _free_ports(count: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in opened]
    for each in opened:
        each.close()
    return ports
