from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from streaming import heard_pause
from streaming.clock import NS_PER_S, monotonic_ns
from streaming.errors import UserError
from streaming.messages import FrameMessage, Notification
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status
from streaming.subscriber import Arrival, Subscriber
from streaming.topics import FRAME_WORLD
from streaming.watch import NobodyPublishes, Watcher, watch

APP = typer.Typer()
APP.command()(watch)
IMAGE = np.full((60, 80, 3), 120, np.uint8)


def a_face(frame_id: int) -> RestoredFace:
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns() - 20_000_000,
        publish_time_ns=monotonic_ns(),
        image=IMAGE,
        crop=IMAGE,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE, Status.STALE_EYES),
        filler="warp-blend",
        landmark_source="oracle",
    )


class Stream:
    """Publishes every other frame id at about 100 a second until told otherwise."""

    def __init__(self, last: int | None = None) -> None:
        self.publisher = Publisher(port=0)
        self.ended = threading.Event()
        self._last = last
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = 0
        while not self.ended.wait(0.01):
            if self.publisher.wants(FRAME_WORLD) and (self._last is None or frame_id < self._last):
                self.publisher.publish_restored(a_face(frame_id))
                frame_id += 2

    def close(self) -> None:
        self.ended.set()
        self._thread.join()
        self.publisher.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    opened = Stream()
    yield opened
    opened.close()


def watched(*arguments: str) -> dict[str, object]:
    outcome = CliRunner().invoke(APP, [*arguments, "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0
    summary: dict[str, object] = json.loads(outcome.stdout)
    return summary


def test_watch_reports_ages_drops_status_and_filler_as_json(stream: Stream) -> None:
    summary = watched(stream.publisher.endpoint, "--frames", "10")
    assert summary["frames"] == 10
    assert summary["endpoint"] == stream.publisher.endpoint
    assert summary["status"] == {"LIVE": 10, "STALE_EYES": 10}
    assert (summary["filler"], summary["landmarks"]) == ("warp-blend", "oracle")
    assert summary["synthesised_frames"] == 10
    assert (summary["width"], summary["height"]) == (80, 60)
    drops, age_ms, fps = summary["drops"], summary["age_ms"], summary["fps"]
    assert isinstance(drops, int)
    assert isinstance(age_ms, dict)
    assert isinstance(fps, float)
    assert drops >= 9  # every other id is left out
    assert 20 <= age_ms["p50"] <= age_ms["p99"]
    assert 0 < fps <= 101


def test_watch_stops_after_the_seconds_asked_for(stream: Stream) -> None:
    seconds = watched(stream.publisher.endpoint, "--seconds", "0.3")["seconds"]
    assert isinstance(seconds, float)
    assert 0.3 <= seconds < 10


def test_watch_reports_what_it_saw_when_the_stream_ends() -> None:
    stream = Stream(last=10)
    summary = watched(stream.publisher.endpoint, "--frames", "1000", "--timeout", "0.3")
    stream.close()
    frames = summary["frames"]
    assert isinstance(frames, int)
    assert 1 <= frames <= 5


def test_watch_prints_a_line_for_people(stream: Stream) -> None:
    outcome = CliRunner().invoke(APP, [stream.publisher.endpoint, "--frames", "3"])
    assert outcome.exit_code == 0
    for word in ("80×60", "fps", "age p50", "LIVE STALE_EYES", "warp-blend", "oracle"):
        assert word in " ".join(outcome.stdout.split())


@pytest.mark.parametrize("name", ["newest.jpg", "newest.png"])
def test_watch_saves_the_newest_frame(stream: Stream, tmp_path: Path, name: str) -> None:
    watched(stream.publisher.endpoint, "--frames", "2", "--save", str(tmp_path / name))
    saved = cv2.imread(str(tmp_path / name))
    assert saved is not None
    assert cv2.PSNR(saved, IMAGE) > 40


@pytest.mark.parametrize("name", ["missing/newest.jpg", "newest.txt"])
def test_watch_says_where_it_cannot_save(stream: Stream, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"Cannot write .*newest.*\.jpg or \.png"):
        watched(stream.publisher.endpoint, "--frames", "1", "--save", str(tmp_path / name))


def test_watch_says_which_address_is_silent_and_what_to_start() -> None:
    with Publisher(port=0) as nobody:
        port = nobody.port
    with pytest.raises(NobodyPublishes, match=rf"127\.0\.0\.1:{port}.*`unvisor demo`"):
        watched(f"{port}", "--timeout", "0.2")


def test_watch_waits_while_the_publisher_is_paused(stream: Stream) -> None:
    def pause_once_watched() -> None:
        while not stream.publisher.sent[FRAME_WORLD]:
            stream.ended.wait(0.005)
        stream.publisher.pause()
        stream.ended.wait(0.6)
        stream.publisher.resume()

    pauser = threading.Thread(target=pause_once_watched)
    pauser.start()
    summary = watched(stream.publisher.endpoint, "--frames", "60", "--timeout", "0.3")
    pauser.join()
    assert summary["frames"] == 60


def test_a_publisher_that_ended_while_paused_is_not_called_paused_for_ever(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause was taken to last until somebody said otherwise."""
    monkeypatch.setattr(heard_pause, "BELIEVED_S", 0.1)
    watcher = Watcher()
    watcher.add(Arrival(frame_of(stream), monotonic_ns()))
    watcher.add(Arrival(Notification("unvisor.paused"), monotonic_ns()))
    shown = {watcher.line() for _ in range(20) if not stream.ended.wait(0.02)}
    assert {"PAUSED" in line for line in shown} == {True, False}


def test_status_line_calls_an_age_by_another_clock_unknown(stream: Stream) -> None:
    outcome = CliRunner().invoke(APP, [stream.publisher.endpoint, "--frames", "1"])
    assert "age p50 " in " ".join(outcome.stdout.split())
    for hours in (-5, 5):
        watcher = Watcher()
        message = frame_of(stream)
        watcher.add(Arrival(message, message.capture_time_ns + hours * 3600 * NS_PER_S))
        assert "age unknown" in watcher.line()


def frame_of(stream: Stream) -> FrameMessage:
    with Subscriber(stream.publisher.endpoint, [FRAME_WORLD]) as client:
        arrival = client.take(FRAME_WORLD, 20)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    return arrival.message


def test_status_line_shows_the_pause() -> None:
    watcher = Watcher()
    assert "waiting" in watcher.line()
    watcher.add(Arrival(Notification("unvisor.paused"), 0))
    assert "paused" in watcher.line()
