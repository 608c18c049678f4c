"""Replays: the same bytes in the same order with the same gaps, on the ports clients know."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
import zmq
from typer.testing import CliRunner

from streaming.clock import NS_PER_S, monotonic_ns
from streaming.control_client import ControlClient
from streaming.errors import UserError
from streaming.face_message import FaceState
from streaming.frame_message import FrameMessage, encode_pixels
from streaming.messages import Message, Notification, decode, encode
from streaming.recordings.reader import Recording
from streaming.recordings.replay_command import replay
from streaming.recordings.replayer import ENDED, STARTED, Replayer, Times
from streaming.recordings.writer import RecordingWriter
from streaming.records import Status
from streaming.topics import FACE_STATE, FRAME_WORLD

ROOT = Path(__file__).resolve().parent.parent
APP = typer.Typer()
APP.command()(replay)
MS = 1_000_000
T0 = 5_000_000_000_000  # the recorded clock: another boot of another machine
CLOCK_AHEAD_S = 100.0  # the sender's `timestamp` was set to run ahead of its monotonic clock
LATENCY_NS = 7 * MS
GAP_NS = 20 * MS


def a_frame(index: int) -> FrameMessage:
    capture_ns = T0 + index * GAP_NS
    image = np.full((8, 8, 3), index, np.uint8)
    return FrameMessage(
        topic=FRAME_WORLD,
        width=8,
        height=8,
        index=index,
        timestamp=capture_ns / NS_PER_S + CLOCK_AHEAD_S,
        format="bgr",
        capture_time_ns=capture_ns,
        publish_time_ns=capture_ns + LATENCY_NS,
        status=(Status.LIVE,),
        filler="unvisor",
        landmark_source="oracle",
        synthesised=True,
        pixels=encode_pixels(image, "bgr", 90),
    )


def a_state(index: int) -> FaceState:
    frame = a_frame(index)
    return FaceState(
        index=index,
        timestamp=frame.timestamp,
        capture_time_ns=frame.capture_time_ns,
        publish_time_ns=frame.publish_time_ns,
        landmarks=np.zeros((0, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        eye_ages_ns=(None, 3),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        status=(Status.LIVE,),
        filler="unvisor",
        landmark_source="oracle",
        synthesised=True,
    )


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Ten frames and their states, 20 ms apart, as another machine recorded them."""
    path = tmp_path / "a.uvrec"
    with RecordingWriter(path, "tcp://127.0.0.1:50021") as writer:
        for index in range(10):
            arrival_ns = 77_000_000 + index * GAP_NS
            writer.add(arrival_ns, encode(a_state(index)))
            writer.add(arrival_ns + MS, encode(a_frame(index)))
        writer.add(arrival_ns + 2 * MS, [b"notify.odd", b"\xc1 not msgpack"])
    return Recording(path)


class Client:
    """Reads raw messages with their times of arrival, all of them, from before the start."""

    def __init__(self, port: int, *topics: str, queue: int = 1000) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.setsockopt(zmq.RCVBUF, 4096 * queue)
        for topic in topics or ("",):
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    def next(self, timeout_s: float = 20.0) -> tuple[int, list[bytes]] | None:
        if not self._socket.poll(round(timeout_s * 1000)):
            return None
        return monotonic_ns(), self._socket.recv_multipart()

    def until(self, subject: str) -> list[tuple[int, list[bytes]]]:
        """What comes before this notification."""
        seen = []
        while (arrived := self.next()) is not None:
            if arrived[1][0] == f"notify.{subject}".encode():
                break
            seen.append(arrived)
        return seen

    def close(self) -> None:
        self._socket.close()


def played(
    recording: Recording,
    speed: float = 1.0,
    times: Times = "recorded",
    topics: tuple[str, ...] = (),
) -> list[tuple[int, list[bytes]]]:
    """All messages of one pass as one client receives them."""
    with Replayer(recording, 0, 0, speed, times) as replayer:
        client = Client(replayer.port, *topics)
        assert replayer.await_client(20)
        thread = threading.Thread(target=replayer.run)
        thread.start()
        first = client.next()
        assert first is not None
        assert first[1][0] == f"notify.{STARTED}".encode()
        seen = client.until(ENDED)
        thread.join()
        client.close()
    return seen


def test_a_slow_client_gets_what_waits_for_it_also_after_the_end(tmp_path: Path) -> None:
    """In full it is more than the kernel's buffers of such a client hold."""
    path = tmp_path / "long.uvrec"
    pixels = bytes(3 * 200 * 200)
    large = replace(a_frame(0), width=200, height=200, pixels=pixels)
    with RecordingWriter(path) as writer:
        for index in range(200):
            writer.add(index, encode(replace(large, index=index)))
    replayer = Replayer(Recording(path), 0, 0)
    client = Client(replayer.port, queue=2)
    assert replayer.await_client(20)
    replayer.run()
    closing = threading.Thread(target=replayer.close)
    closing.start()
    seen = client.until(ENDED)
    closing.join()
    client.close()
    topics = [parts[0] for _, parts in seen]
    assert topics == [f"notify.{STARTED}".encode()] + [FRAME_WORLD.encode()] * 200


def test_a_client_that_stands_still_does_not_hold_up_the_end_of_a_stopped_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.recordings.replayer.LAST_MESSAGES_MS", 60_000, raising=False)
    path = tmp_path / "long.uvrec"
    large = replace(a_frame(0), width=200, height=200, pixels=bytes(3 * 200 * 200))
    with RecordingWriter(path) as writer:
        for index in range(200):
            writer.add(index, encode(replace(large, index=index)))
        writer.add(3600 * NS_PER_S, encode(large))  # an hour later
    replayer = Replayer(Recording(path), 0, 0)
    client = Client(replayer.port, queue=2)
    assert replayer.await_client(20)
    playing = threading.Thread(target=replayer.run)
    playing.start()
    while replayer.messages < 200:
        time.sleep(0.002)
    began_s = time.monotonic()
    replayer.close()
    playing.join()
    assert time.monotonic() - began_s < 10
    client.close()


def test_a_client_gets_the_recorded_bytes_in_order_every_time(recording: Recording) -> None:
    recorded = [list(message.parts) for message in recording]
    assert len(recorded) == 21
    for _ in range(2):
        assert [parts for _, parts in played(recording)] == recorded


def test_a_client_that_stalls_still_gets_every_message(recording: Recording) -> None:
    """Live it would lose frames; a replay must show the same ones every time."""
    with Replayer(recording, 0, 0, speed=20) as replayer:
        client = Client(replayer.port, queue=1)
        assert replayer.await_client(20)
        for _ in range(30):
            replayer.run()
        words = [client.next(5) for _ in range(30 * (21 + 2))]
        client.close()
    assert all(arrived is not None for arrived in words)


@pytest.mark.parametrize("topic", ["jpeg.world", "bgr.world", "gray.world"])
def test_a_picture_comes_under_the_topic_that_a_client_asks_for(
    recording: Recording, topic: str
) -> None:
    """Recorded was `frame.world` as bgr; most clients subscribe to topics of a certain format."""
    with Replayer(recording, 0, 0) as replayer:
        client = Client(replayer.port, topic, FRAME_WORLD)
        assert replayer.await_client(20)
        replayer.run()
        seen = [client.next() for _ in range(20)]
        client.close()
    messages = [decode(arrived[1]) for arrived in seen if arrived is not None]
    frames = [message for message in messages if isinstance(message, FrameMessage)]
    assert [frame.index for frame in frames] == [index for index in range(10) for _ in range(2)]
    assert [frame.topic for frame in frames] == [FRAME_WORLD, topic] * 10
    assert all(frame.format == topic.split(".")[0] for frame in frames[1::2])
    for frame in frames:
        assert np.abs(frame.image().astype(int) - frame.index).max() <= 2
        assert frame.capture_time_ns == a_frame(frame.index).capture_time_ns


def test_a_topic_that_was_recorded_is_not_made_twice(tmp_path: Path) -> None:
    """And `frame.world` is made from `jpeg.world`, for clients of the other kind."""
    with RecordingWriter(tmp_path / "a.uvrec") as writer:
        for topic in ("jpeg.world", "bgr.world"):
            frame = replace(a_frame(3), topic=topic, format=topic.split(".")[0])
            pixels = encode_pixels(np.full((8, 8, 3), 3, np.uint8), frame.format, 90)
            writer.add(0, encode(replace(frame, pixels=pixels)))
    topics = ("bgr.world", "frame.world", "gray.world", "jpeg.world")
    seen = played(Recording(tmp_path / "a.uvrec"), topics=(*topics, "notify."))
    assert sorted(parts[0].decode() for _, parts in seen) == list(topics)


def test_messages_come_no_earlier_than_their_recorded_gaps(recording: Recording) -> None:
    recorded = [message.arrival_time_ns for message in recording]
    for speed in (1.0, 2.0):
        begin_ns = monotonic_ns()
        arrivals = [time_ns for time_ns, _ in played(recording, speed)]
        for arrival_ns, recorded_ns in zip(arrivals, recorded, strict=True):
            assert arrival_ns - begin_ns >= (recorded_ns - recorded[0]) / speed


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_times_moved_to_the_present_keep_ages_and_belong_together(
    recording: Recording, speed: float
) -> None:
    begin_ns = monotonic_ns()
    seen = played(recording, speed, "now")
    messages: list[tuple[int, Message]] = [
        (time_ns, decode(parts)) for time_ns, parts in seen if parts[0] != b"notify.odd"
    ]
    frames = {m.index: (t, m) for t, m in messages if isinstance(m, FrameMessage)}
    states = {m.index: (t, m) for t, m in messages if isinstance(m, FaceState)}
    assert sorted(frames) == sorted(states) == list(range(10))
    for index, (arrival_ns, frame) in frames.items():
        state = states[index][1]
        assert frame.capture_time_ns == state.capture_time_ns
        assert frame.publish_time_ns - frame.capture_time_ns == pytest.approx(LATENCY_NS / speed)
        assert arrival_ns - frame.capture_time_ns >= LATENCY_NS / speed
        assert frame.capture_time_ns > begin_ns - LATENCY_NS
        assert frame.timestamp == pytest.approx(frame.capture_time_ns / NS_PER_S, abs=1e-6)
        assert frame.pixels == a_frame(index).pixels
    gaps = np.diff([frames[index][1].capture_time_ns for index in range(10)])
    assert gaps.tolist() == pytest.approx([GAP_NS / speed] * 9)
    assert [parts for _, parts in seen if parts[0] == b"notify.odd"] == [
        [b"notify.odd", b"\xc1 not msgpack"]
    ]


def test_the_control_socket_tells_the_recorded_clock(recording: Recording) -> None:
    with Replayer(recording, 0, 0) as replayer:
        control = ControlClient(f"127.0.0.1:{replayer.control_port}")
        assert control.ask("SUB_PORT") == str(replayer.port)
        began_s = (T0 + LATENCY_NS) / NS_PER_S + CLOCK_AHEAD_S
        assert float(control.ask("t")) == pytest.approx(began_s, abs=1e-6)
        assert "Timesync" not in control.ask("T 5.0")
        client = Client(replayer.port, FRAME_WORLD)
        assert replayer.await_client(20)
        thread = threading.Thread(target=replayer.run)
        thread.start()
        ages = []
        for _ in range(8):
            arrived = client.next()
            assert arrived is not None
            frame = decode(arrived[1])
            assert isinstance(frame, FrameMessage)
            ages.append(float(control.ask("t")) - frame.timestamp)
        thread.join()
        client.close()
    assert min(ages) >= LATENCY_NS / NS_PER_S  # never younger than it was
    assert min(ages) < 1


def test_a_loop_goes_on_at_the_same_pace_until_a_client_stops_it(recording: Recording) -> None:
    with Replayer(recording, 0, 0, speed=5) as replayer:
        client = Client(replayer.port, FRAME_WORLD)
        assert replayer.await_client(20)
        thread = threading.Thread(target=replayer.run, args=(True,))
        thread.start()
        seen = [client.next() for _ in range(25)]
        answer = ControlClient(f"127.0.0.1:{replayer.control_port}").notify("unvisor.stop")
        assert answer == "Message forwarded."
        thread.join(20)
        assert not thread.is_alive()
        assert replayer.passes >= 2
        client.close()
    pixels = [arrived[1][2][0] for arrived in seen if arrived is not None]
    assert pixels == [*range(10), *range(10), *range(5)]


def test_a_pause_holds_the_messages_back_as_live(recording: Recording) -> None:
    with Replayer(recording, 0, 0) as replayer:
        client = Client(replayer.port, FRAME_WORLD, "notify.unvisor.paused")
        assert replayer.await_client(20)
        control = ControlClient(f"127.0.0.1:{replayer.control_port}")
        control.notify("unvisor.pause")
        assert control.notify("frame_publishing.set_format", {"format": "jpeg"})
        replayer.run()
        paused = client.next()
        assert paused is not None
        assert paused[1][0] == b"notify.unvisor.paused"
        assert client.next(0.1) is None
        client.close()


def test_it_waits_for_a_client_only_as_long_as_told(recording: Recording) -> None:
    with Replayer(recording, 0, 0) as replayer:
        assert not replayer.await_client(0.05)


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    RecordingWriter(tmp_path / "a.uvrec").close()
    with pytest.raises(UserError, match="no messages"):
        Replayer(Recording(tmp_path / "a.uvrec"), 0, 0)


def test_a_recording_of_words_only_plays_too(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.uvrec") as writer:
        writer.add(5, encode(Notification("unvisor.resumed")))
    for times in ("recorded", "now"):
        seen = played(Recording(tmp_path / "a.uvrec"), times=times)  # type: ignore[arg-type]
        assert [parts for _, parts in seen] == [encode(Notification("unvisor.resumed"))]


def test_the_command_tells_what_is_in_a_file(recording: Recording) -> None:
    outcome = CliRunner().invoke(APP, [str(recording.path), "--json"], catch_exceptions=False)
    told = json.loads(outcome.stdout)
    assert told["recorded_topics"] == {FACE_STATE: 10, FRAME_WORLD: 10, "notify.odd": 1}
    assert (told["messages"], told["is_complete"]) == (21, True)
    outcome = CliRunner().invoke(APP, [str(recording.path), "--info"], catch_exceptions=False)
    assert "frame.world: 10" in outcome.stdout


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def test_the_command_plays_to_a_client_and_ends(recording: Recording) -> None:
    port, control_port = free_ports(2)
    command = [sys.executable, "-m", "edge", "replay", str(recording.path), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--control-port", str(control_port)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    client = Client(port, FRAME_WORLD)
    seen = [client.next() for _ in range(10)]
    _, told = process.communicate(timeout=20)
    client.close()
    assert all(arrived is not None for arrived in seen)
    assert process.returncode == 0
    assert "21 messages in 1 complete passes" in " ".join(told.split())


def test_ctrl_c_ends_the_command_at_once(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.uvrec") as writer:
        writer.add(0, encode(a_frame(0)))
        writer.add(3600 * NS_PER_S, encode(a_frame(1)))  # an hour later
    port, control_port = free_ports(2)
    command = [sys.executable, "-m", "edge", "replay", str(tmp_path / "a.uvrec")]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--control-port", str(control_port)], cwd=ROOT
    )
    client = Client(port, FRAME_WORLD)
    assert client.next() is not None
    begin_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - begin_s < 15
    client.close()
