from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.remote import open_control, open_publisher
from edge.settings import StreamingSettings
from streaming.control_client import ControlClient
from streaming.messages import Notification
from streaming.recordings.writer import RecordingFailed
from streaming.subscriber import Subscriber

WAIT_S = 10.0
SETTINGS = StreamingSettings(control_port=0, publisher_port=0)


class FakeRecorder:
    """Remembers what it was told, and fails as it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.path: Path | None = None
        self.failure: Exception | None = None

    def start(self, name: str) -> None:
        if self.path is None:
            self.path = Path(f"{name}.uvrec")
            self.calls.append(name)

    def stop(self) -> None:
        self.calls.append("stop")
        self.path = None
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def client_and_words(recorder: FakeRecorder) -> Iterator[tuple[ControlClient, Subscriber]]:
    with (
        open_publisher(SETTINGS) as publisher,
        open_control(SETTINGS, publisher, threading.Event().set, recorder) as control,
        Subscriber(publisher.endpoint, ["notify."]) as words,
    ):
        client = ControlClient(str(control.port))
        while words.take("notify.", 0.02) is None:  # the subscription takes a moment
            client.notify("ready")
        yield client, words


def heard(words: Subscriber) -> Notification:
    """The newest word; the slot keeps no older ones."""
    arrival = words.take("notify.", WAIT_S)
    assert arrival is not None
    assert isinstance(arrival.message, Notification)
    return arrival.message


def test_clients_start_and_stop_a_recording_and_all_are_told(
    client_and_words: tuple[ControlClient, Subscriber], recorder: FakeRecorder
) -> None:
    client, words = client_and_words
    assert client.ask("R trial 7") == "OK"
    assert heard(words) == Notification("recording.started", {"session_name": "trial 7"})
    assert client.ask("R again") == "OK"  # the running one goes on, and nobody is told of another
    assert client.ask("r") == "OK"
    assert heard(words) == Notification("recording.stopped", {})
    assert client.notify("recording.should_start", {"session_name": "by word"}) == "OK"
    assert heard(words).fields == {"session_name": "by word"}
    assert client.notify("recording.should_stop") == "OK"
    assert recorder.calls == ["trial 7", "stop", "by word", "stop"]
    assert client.ask("R") == "OK"
    assert recorder.calls[-1] == ""
    recorder.failure = RuntimeError("disk gone")
    assert client.ask("r") == "Stopping the recording failed."
    assert client.ask("v") == "3.5.7"


def test_the_end_of_a_recording_that_the_disk_ended_is_told_to_all(
    client_and_words: tuple[ControlClient, Subscriber], recorder: FakeRecorder
) -> None:
    client, words = client_and_words
    client.ask("R")
    assert heard(words).subject == "recording.started"
    recorder.failure = RecordingFailed("The disk is full.", "Free some space.")
    assert client.ask("r") == "The disk is full. Free some space."
    assert heard(words).subject == "recording.stopped"


@pytest.mark.parametrize("name", ["x" * 129, "a\nb", "\x00"])
def test_impossible_names_of_recordings_are_refused(
    client_and_words: tuple[ControlClient, Subscriber], recorder: FakeRecorder, name: str
) -> None:
    assert "printable characters" in client_and_words[0].ask(f"R {name}.")
    assert recorder.calls == []


def test_settings_decide_formats_and_what_eye_topics_show() -> None:
    settings = StreamingSettings(publisher_port=0, pixel_format="gray", eyes="face")
    with open_publisher(settings) as publisher:
        assert publisher._formats.of("frame.world") == "gray"
        assert publisher._eyes_show == "face"


def test_stop_and_pause_reach_the_session() -> None:
    stopped = threading.Event()
    with (
        open_publisher(SETTINGS) as publisher,
        open_control(SETTINGS, publisher, stopped.set) as control,
    ):
        client = ControlClient(str(control.port))
        client.notify("unvisor.pause")
        assert publisher.paused
        client.notify("unvisor.resume")
        assert not publisher.paused
        client.notify("unvisor.stop")
        assert stopped.wait(WAIT_S)
