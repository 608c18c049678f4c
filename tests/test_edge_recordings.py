"""A client starts and stops a recording of the session through the control socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_views import a_view

from edge.remote import open_control, open_publisher, open_recorder
from edge.settings import SessionSettings, override
from streaming.control_client import ControlClient
from streaming.recordings.reader import Recording
from streaming.topics import FRAME_FACE

WAIT_S = 20.0


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_r_with_a_name_records_the_session_until_r(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ports = {"streaming.publisher_port": 0, "streaming.control_port": 0}
    settings = override(SessionSettings(), ports)
    stop = threading.Event().set
    with (
        open_publisher(settings.streaming) as publisher,
        open_recorder(settings, publisher) as recorder,
        open_control(settings.streaming, publisher, stop, recorder) as control,
    ):
        client = ControlClient(str(control.port))
        assert "No recording is running" in client.ask("r")
        assert client.ask("R ../of Anna") == "OK"
        path = recorder.path
        assert path is not None
        wait_until(lambda: publisher.wants(FRAME_FACE))
        publisher.publish_restored(a_view(7).restored)
        wait_until(lambda: path.stat().st_size > 2000)
        assert client.ask("r") == "OK"
        assert recorder.path is None
    assert path.parent == tmp_path / "unvisor" / "recordings"
    assert path.name.startswith("of_Anna-")
    summary = Recording(path).summary()
    assert summary.is_complete
    assert {"face.state", "frame.world", "frame.face"} <= set(summary.topics)
