"""Recording live publishers: nothing lost, nobody held up, readable after `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from streaming.clock import monotonic_ns
from streaming.errors import UserError
from streaming.messages import FrameMessage, Notification
from streaming.publisher import Publisher
from streaming.recordings.reader import Recording
from streaming.recordings.record_command import record
from streaming.recordings.recorder import NotRecording, Recorder
from streaming.recordings.stream_recorder import StreamRecorder
from streaming.recordings.writer import RecordingFailed, RecordingWriter
from streaming.records import EyeParameters, RestoredFace, Side, Status
from streaming.topics import FACE_STATE, FRAME_FACE, FRAME_WORLD

ROOT = Path(__file__).resolve().parent.parent
APP = typer.Typer()
APP.command()(record)
WAIT_S = 20.0


def a_face(frame_id: int) -> RestoredFace:
    image = np.full((60, 80, 3), frame_id % 256, np.uint8)
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns() - 20_000_000,
        publish_time_ns=monotonic_ns(),
        image=image,
        crop=image,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(port=0) as opened:
        yield opened


class Stream:
    """Publishes faces at about 100 a second while somebody wants them."""

    def __init__(self) -> None:
        self.publisher = Publisher(port=0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = 0
        while not self._ended.wait(0.01):
            if self.publisher.wants(FRAME_WORLD):
                self.publisher.publish_restored(a_face(frame_id))
                frame_id += 1

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.publisher.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    opened = Stream()
    yield opened
    opened.close()


def indices(path: Path, topic: str = FRAME_WORLD) -> list[int]:
    return [
        arrival.message.index
        for arrival in Recording(path).arrivals(topic)
        if isinstance(arrival.message, FrameMessage)
    ]


def test_every_message_of_every_wanted_topic_is_kept_in_order(
    publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "a.uvrec"
    topics = (FRAME_WORLD, FACE_STATE, "notify.")
    with StreamRecorder(publisher.endpoint, path, topics) as recorder:
        wait_until(lambda: publisher.wants(FRAME_WORLD) and publisher.wants(FACE_STATE))
        for frame_id in range(40):
            publisher.publish_restored(a_face(frame_id))
            wait_until(lambda count=2 * frame_id + 2: recorder.messages == count)
        publisher.pause()
        wait_until(lambda: recorder.messages == 81)
    names = [message.topic for message in Recording(path)]
    assert names == [FACE_STATE, FRAME_WORLD] * 40 + ["notify.unvisor.paused"]
    assert indices(path) == list(range(40))
    assert Recording(path).header.topics == topics
    assert Recording(path).summary().is_complete
    times = [message.arrival_time_ns for message in Recording(path)]
    assert times == sorted(times)
    ages = [arrival.age_ns for arrival in Recording(path).arrivals(FRAME_WORLD)]
    assert min(ages) >= 20_000_000


def test_the_eyes_of_a_headset_without_eye_images_are_recorded_too(
    publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "a.uvrec"
    with StreamRecorder(publisher.endpoint, path) as recorder:
        wait_until(lambda: publisher.wants(FRAME_WORLD))
        publisher.publish(EyeParameters(Side.LEFT, monotonic_ns(), 0.5, None))
        publisher.publish(Notification("unvisor.eye_cameras", {"detail": ""}))
        wait_until(lambda: "notify.unvisor.eye_cameras" in Recording(path).summary().topics)
    assert set(Recording(path).summary().topics) == {
        "eye.parameters.1",
        "notify.unvisor.eye_cameras",
    }
    assert recorder.messages == 2


def test_a_disk_that_hangs_loses_counted_messages_and_holds_nobody_up(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = threading.Event()
    add = RecordingWriter.add

    def hang(writer: RecordingWriter, arrival_time_ns: int, parts: list[bytes]) -> None:
        hanging.wait(WAIT_S)
        add(writer, arrival_time_ns, parts)

    monkeypatch.setattr(RecordingWriter, "add", hang)
    path = tmp_path / "a.uvrec"
    with StreamRecorder(publisher.endpoint, path, [FRAME_FACE], queue_bytes=5_000) as recorder:
        wait_until(lambda: publisher.wants(FRAME_FACE))
        frame_id = 0
        while not recorder.dropped:
            publisher.publish_restored(a_face(frame_id))
            frame_id += 1
            time.sleep(0.002)
        assert recorder.messages == 0
        hanging.set()
    assert recorder.error is None
    kept = indices(path, FRAME_FACE)
    assert kept[:3] == [0, 1, 2]  # what waited was written, only what came later is missing
    assert Recording(path).summary().dropped == recorder.dropped > 0


def test_a_full_disk_ends_the_recording_with_one_sentence(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.uvrec"
    with StreamRecorder(publisher.endpoint, path, [FRAME_FACE]) as recorder:
        wait_until(lambda: publisher.wants(FRAME_FACE))
        publisher.publish_restored(a_face(0))
        wait_until(lambda: recorder.messages == 1)

        def write(file: int, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", write)
        publisher.publish_restored(a_face(1))
        wait_until(lambda: recorder.is_finished)
        monkeypatch.undo()
    assert recorder.error is not None
    assert "No space left" in str(recorder.error)
    assert indices(path, FRAME_FACE) == [0]


@pytest.mark.parametrize("where", ["writing", "reading"])
def test_whatever_ends_a_recording_is_told(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Such a thread ended without a word: the recording seemed to go on, or to have succeeded."""

    def fail(*arguments: object) -> None:
        raise MemoryError

    path = tmp_path / "a.uvrec"
    with StreamRecorder(publisher.endpoint, path, [FRAME_FACE]) as recorder:
        wait_until(lambda: publisher.wants(FRAME_FACE))
        publisher.publish_restored(a_face(0))
        wait_until(lambda: recorder.messages == 1)
        if where == "writing":
            monkeypatch.setattr(RecordingWriter, "add", fail)
        else:
            monkeypatch.setattr("streaming.recordings.stream_recorder.RecordedMessage", fail)
        publisher.publish_restored(a_face(1))
        wait_until(lambda: recorder.is_finished)
        monkeypatch.undo()
    assert recorder.error is not None
    assert "a.uvrec ended by itself after 1 messages: memory is short" in str(recorder.error)
    assert Recording(path).summary().is_complete
    assert indices(path, FRAME_FACE) == [0]


@pytest.mark.parametrize("count", [0, 17, 300])
def test_a_message_of_too_many_parts_is_left_out_and_the_recording_goes_on(
    tmp_path: Path, count: int
) -> None:
    path = tmp_path / "a.uvrec"
    with RecordingWriter(path) as writer:
        with pytest.raises(ValueError, match=f"{count} parts"):
            writer.add(1, [b"topic"] * count)
        writer.add(2, [b"topic", b""])
    assert Recording(path).summary().messages == 1


def test_the_command_records_for_the_seconds_asked_for(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "a.uvrec"
    arguments = [stream.publisher.endpoint, "--out", str(path), "--seconds", "0.5", "--json"]
    outcome = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    told = json.loads(outcome.stdout)
    summary = Recording(path).summary()
    assert (told["messages"], told["bytes"], told["dropped"]) == (
        summary.messages,
        summary.bytes,
        0,
    )
    assert summary.is_complete
    assert {"frame.world", "frame.face", "face.state"} <= set(summary.topics)


def test_the_command_says_who_is_silent_and_leaves_no_file(
    publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "a.uvrec"
    arguments = [publisher.endpoint, "--out", str(path), "--timeout", "0.2"]
    with pytest.raises(UserError, match=r"Nothing came from .*`unvisor run`"):
        CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert not path.exists()


def test_a_recording_to_be_replaced_stays_until_something_comes(
    publisher: Publisher, tmp_path: Path
) -> None:
    path = tmp_path / "a.uvrec"
    path.write_bytes(b"an older recording")
    arguments = [publisher.endpoint, "--out", str(path), "--timeout", "0.2", "--overwrite"]
    with pytest.raises(UserError, match="Nothing came from"):
        CliRunner().invoke(APP, arguments, catch_exceptions=False)
    assert path.read_bytes() == b"an older recording"
    assert list(tmp_path.iterdir()) == [path]


def test_a_topic_that_nobody_sends_is_named(stream: Stream, tmp_path: Path) -> None:
    arguments = [stream.publisher.endpoint, "--out", str(tmp_path / "a.uvrec"), "--timeout", "0.2"]
    with pytest.raises(UserError, match=r"Nothing of frame\.fce came .*spelling of --topic"):
        CliRunner().invoke(APP, [*arguments, "--topic", "frame.fce"], catch_exceptions=False)


def started(stream: Stream, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge", "record", stream.publisher.endpoint]
    process = subprocess.Popen(
        [*command, "--out", str(path), "--timeout", "30"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: path.exists() and path.stat().st_size > 200_000)
    return process


def test_kill_9_leaves_everything_that_was_recorded(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "a.uvrec"
    process = started(stream, path)
    size = path.stat().st_size
    process.kill()
    process.communicate()
    summary = Recording(path).summary()
    assert not summary.is_complete
    assert summary.bytes >= size - summary.torn_bytes
    assert summary.torn_bytes < 10_000  # less than one frame
    kept = indices(path)
    assert len(kept) > 10
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_stopped_service_finish_the_file(
    stream: Stream, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "a.uvrec"
    process = started(stream, path)
    process.send_signal(number)
    _, told = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "messages" in told
    assert Recording(path).summary().is_complete


def test_recordings_start_and_stop_by_name(publisher: Publisher, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "recordings"
    with Recorder(publisher.endpoint, folder, [FRAME_FACE]) as recorder:
        assert recorder.path is None
        with pytest.raises(NotRecording, match="No recording is running"):
            recorder.stop()
        first = recorder.start("Anna's session")
        assert recorder.start("again") == first == recorder.path
        wait_until(lambda: publisher.wants(FRAME_FACE))
        publisher.publish_restored(a_face(5))
        wait_until(lambda: first.stat().st_size > 1000)
        assert recorder.stop() == first
        assert recorder.path is None
        second = recorder.start("Anna's session")
        assert second != first
    assert first.parent == folder
    assert first.name.startswith("Anna_s_session-")
    assert indices(first, FRAME_FACE) == [5]
    assert Recording(first).summary().is_complete
    assert Recording(second).summary().messages == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_recording_that_ended_by_itself_is_told_when_it_is_stopped(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Recorder(publisher.endpoint, tmp_path, [FRAME_FACE]) as recorder:
        recorder.start("first")
        wait_until(lambda: publisher.wants(FRAME_FACE))

        def write(file: int, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", write)
        publisher.publish_restored(a_face(1))
        wait_until(lambda: recorder.path is None)
        monkeypatch.undo()
        with pytest.raises(RecordingFailed, match="No space left"):
            recorder.stop()
        assert recorder.start("second").exists()


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "", "..", "a\0b", "x" * 5000, "é/ß"])
def test_a_name_from_outside_never_leaves_the_folder(
    publisher: Publisher, tmp_path: Path, name: str
) -> None:
    with Recorder(publisher.endpoint, tmp_path) as recorder:
        path = recorder.start(name)
        assert path.resolve().parent == tmp_path.resolve()
        assert path.exists()


def test_a_folder_that_cannot_be_made_is_told(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        Recorder(publisher.endpoint, tmp_path / "file" / "below") as recorder,
        pytest.raises(RecordingFailed, match="Cannot make the folder"),
    ):
        recorder.start()


def test_recording_goes_on_after_the_publisher_was_restarted(tmp_path: Path) -> None:
    path = tmp_path / "a.uvrec"
    with Publisher(port=0) as first:
        port = first.port
        recorder = StreamRecorder(first.endpoint, path, [FRAME_FACE, "notify."])
        wait_until(lambda: first.wants(FRAME_FACE))
        first.publish_restored(a_face(1))
        wait_until(lambda: recorder.messages == 1)
    with Publisher(port=port) as second:
        wait_until(lambda: second.wants(FRAME_FACE))
        second.publish_restored(a_face(2))
        second.publish(Notification("unvisor.resumed"))
        wait_until(lambda: recorder.messages == 3)
    recorder.close()
    assert indices(path, FRAME_FACE) == [1, 2]
