"""Whatever arrives: no crash, no hang, bounded memory. A few cases here, many in the slow test."""

from __future__ import annotations

import gc
import itertools
import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutations import TAPE_BYTES, Tape, hostile_message, hostile_question

from hmd_capture.eye_source import OracleEyeReader, SimulatedEyeSource
from streaming import control
from streaming.control import ControlServer
from streaming.control_client import ControlClient
from streaming.frame_message import MAX_PIXELS
from streaming.jpeg_header import jpeg_size
from streaming.messages import (
    EyeImage,
    FrameMessage,
    Message,
    MessageError,
    Notification,
    decode,
    encode,
)
from streaming.publisher import Publisher
from streaming.records import Side
from streaming.relay import questions
from streaming.relay.both_halves import Relay
from streaming.security.door import open_guard
from streaming.security.keys import KeyFolder
from streaming.security.rate_limit import RateLimit
from streaming.subscriber import Subscriber
from streaming.topics import VIDEO_FORMAT

WAIT_MS = 20_000
MANY = 100_000  # cases of each target in the slow test; behind the relay each takes longer
MANY_RELAYED = 20_000
WARM_UP = 5_000  # before memory is compared
MAX_GROWTH_MIB = 40.0
BATCH = 40
TOPICS = ("frame.", "face.state", "eye.", "sim.", "notify.", "h264.")
TAPES = st.binary(max_size=TAPE_BYTES).map(Tape)


def decode_all(parts: list[bytes]) -> Message | None:
    """Read a message as far as a client would; None when it is malformed."""
    try:
        message = decode(parts)
        if isinstance(message, FrameMessage) and message.format != VIDEO_FORMAT:
            assert message.image().shape[:2] == (message.height, message.width)
    except MessageError:
        return None
    return message


class ControlTarget:
    """The control socket with what the product does on a notification, asked over TCP."""

    def __init__(self) -> None:
        self._publisher = Publisher(port=0)
        self._server = ControlServer(
            self._publisher.port, self._publisher.obey, self._publisher.clock, port=0
        )
        self._asker: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._asker.linger = 0
        self._asker.connect(f"tcp://127.0.0.1:{self._server.port}")
        self._sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._sender.linger = 0
        self._sender.connect(f"tcp://127.0.0.1:{self._server.notification_port}")

    def feed(self, tape: Tape) -> None:
        self._sender.send_multipart([b"notify." + tape.rest()[:5], *hostile_message(tape)[1:]])
        question = hostile_question(tape)
        if any(len(part) > control.MAX_PART_BYTES for part in question):
            return  # costs the connection, and another test says so
        self._asker.send_multipart(question)
        assert self._asker.poll(WAIT_MS), "a question was not answered"
        assert len(self._asker.recv_multipart()) == 1

    def check(self) -> None:
        self._asker.send(b"SUB_PORT")
        assert self._asker.poll(WAIT_MS)
        assert self._asker.recv() == str(self._publisher.port).encode()

    def close(self) -> None:
        self._asker.close()
        self._sender.close()
        self._server.close()
        self._publisher.close()


class RelayTarget(ControlTarget):
    """The same behind a relay, whose clients are as hostile."""

    def __init__(self) -> None:
        super().__init__()
        self._relay = Relay("127.0.0.1", None, self._server.port, 0, 0)
        self._asker.disconnect(f"tcp://127.0.0.1:{self._server.port}")
        self._asker.connect(f"tcp://{self._relay.address}")
        self._sender.disconnect(f"tcp://127.0.0.1:{self._server.notification_port}")
        port = ControlClient(self._relay.address, WAIT_MS / 1000).ask("PUB_PORT")
        self._sender.connect(f"tcp://127.0.0.1:{port}")

    def check(self) -> None:
        self._asker.send(b"SUB_PORT")
        assert self._asker.poll(WAIT_MS)
        assert self._asker.recv() == str(self._relay.publisher_port).encode()

    def close(self) -> None:
        self._relay.close()
        super().close()


class SubscriberTarget:
    """A subscriber whose publisher is hostile, over TCP; pictures are decoded as clients do."""

    def __init__(self) -> None:
        self._sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
        self._sender.linger = 0
        self._sender.sndhwm = 2 * BATCH
        port = self._sender.bind_to_random_port("tcp://127.0.0.1")
        self._client = Subscriber(f"{port}", TOPICS)
        for _ in TOPICS:
            assert self._sender.poll(WAIT_MS)
            self._sender.recv()
        self._numbers = itertools.count()

    def feed(self, tape: Tape) -> None:
        parts = hostile_message(tape)
        decode_all(parts)
        if parts:
            self._sender.send_multipart(parts)
        if next(self._numbers) % BATCH == 0:
            self.check()

    def check(self) -> None:
        deadline = time.monotonic() + WAIT_MS / 1000
        subject = f"mark.{next(self._numbers)}"
        while True:  # a full queue drops the mark, so it is repeated
            self._sender.send_multipart(encode(Notification(subject)))
            arrival = self._client.take("notify.", 0.05)
            message = arrival.message if arrival else None
            if isinstance(message, Notification) and message.subject == subject:
                return
            assert time.monotonic() < deadline, "the subscriber does not read any more"

    def close(self) -> None:
        self._client.close()
        self._sender.close()


class EyeTarget:
    """The inlet of eye images, fed over TCP; what gets through is read as the program does."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self._source = SimulatedEyeSource(f"127.0.0.1:{port}")
        self._reader = OracleEyeReader()
        self._sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._sender.linger = 0
        self._sender.connect(f"tcp://127.0.0.1:{port}")
        self._numbers = itertools.count(1)

    def feed(self, tape: Tape) -> None:
        parts = hostile_message(tape)
        if parts:
            self._sender.send_multipart(parts)
        for image in self._source.take(0):
            self._reader.read(image)
        if next(self._numbers) % BATCH == 0:
            self.check()

    def check(self) -> None:
        deadline = time.monotonic() + WAIT_MS / 1000
        good = EyeImage(Side.LEFT, next(self._numbers), 5, np.zeros((8, 8), np.uint8), None)
        while True:
            self._sender.send_multipart(encode(good))
            taken = [image.frame_id for image in self._source.take(0.05)]
            if good.frame_id in taken:
                return
            assert time.monotonic() < deadline, "no image gets through any more"

    def close(self) -> None:
        self._source.close()
        self._sender.close()


Target = ControlTarget | SubscriberTarget | EyeTarget
TARGETS: tuple[Callable[[], Target], ...] = (
    ControlTarget,
    RelayTarget,
    SubscriberTarget,
    EyeTarget,
)


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is looked at, however fast they come."""
    for module in (control, questions):
        monkeypatch.setattr(module, "RateLimit", lambda: RateLimit(1e12, 1e12))


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (control, questions):
            patch.setattr(module, "RateLimit", lambda: RateLimit(1e12, 1e12))
        opened = request.param()
    yield opened
    opened.check()
    opened.close()


@settings(max_examples=150, deadline=None)
@given(tape=TAPES)
def test_hostile_messages_over_real_sockets_harm_nobody(target: Target, tape: Tape) -> None:
    target.feed(tape)


@settings(max_examples=500, deadline=None)
@given(tape=TAPES)
@example(tape=Tape(b""))
def test_hostile_messages_raise_nothing_but_message_errors(tape: Tape) -> None:
    decode_all(hostile_message(tape))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("opener", TARGETS)
@pytest.mark.usefixtures("unlimited")
def test_a_hundred_thousand_hostile_messages_leave_everything_running_and_small(
    opener: Callable[[], Target],
) -> None:
    source = random.Random(2026)
    opened = opener()
    try:
        for _ in range(WARM_UP):
            opened.feed(Tape(source.randbytes(TAPE_BYTES)))
        opened.check()
        before_mib = resident_mib()
        for _ in range((MANY_RELAYED if opener is RelayTarget else MANY) - WARM_UP):
            opened.feed(Tape(source.randbytes(TAPE_BYTES)))
        opened.check()
        growth_mib = resident_mib() - before_mib
        logging.getLogger(__name__).info("%s: %.1f MiB more", opener.__name__, growth_mib)
    finally:
        opened.close()
    assert growth_mib < MAX_GROWTH_MIB


@pytest.mark.parametrize("mechanism", [b"NULL", b"CURVE"])
def test_bytes_that_are_no_protocol_at_all_harm_no_socket(mechanism: bytes, tmp_path: Path) -> None:
    """Below ZeroMQ: what a port scanner, a browser or a broken peer says.

    Regressions: the publisher crashed when a queue limit changed while such a client left, and
    the control thread waited for ever for a question that ZeroMQ had dropped.
    """
    source = random.Random(7)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + mechanism.ljust(20, b"\0") + bytes(32)
    hello = b"\x04\xc8\x05HELLO\x01\x00"  # how a CURVE handshake begins
    folder = KeyFolder(tmp_path)
    folder.path.chmod(0o700)
    folder.ensure_server()
    is_plain = mechanism == b"NULL"
    keys = None if is_plain else folder.own_client()
    host = "127.0.0.1" if is_plain else "0.0.0.0"
    with (
        open_guard(host, folder.path) as guard,
        Publisher(0, host, guard=guard) as publisher,
        ControlServer(publisher.port, publisher.obey, publisher.clock, 0, host, guard) as server,
        Subscriber(f"{publisher.port}", TOPICS, keys) as client,
    ):
        for case in range(900):
            port = (publisher.port, server.port, server.notification_port)[case % 3]
            with socket.create_connection(("127.0.0.1", port)) as raw:
                known = (b"", greeting, greeting + hello)[case // 3 % 3]
                raw.sendall(known + source.randbytes(source.randrange(250)))
            publisher.wants("frame.world")
        asker = ControlClient(f"{server.port}", WAIT_MS / 1000, keys)
        assert asker.ask("SUB_PORT") == f"{publisher.port}"
        sent = 0
        while client.take("notify.", 0.02) is None:
            sent += publisher.publish(Notification("still.here"))
            assert sent < 1000


@pytest.mark.parametrize("side", [16_000, 30_000, 65_535])
def test_a_small_jpeg_that_promises_a_huge_picture_takes_no_memory(side: int) -> None:
    """Regression: 600 bytes made OpenCV take 3 GB."""
    good = next(
        message
        for tape in range(50)
        if isinstance(message := decode_all(hostile_message(Tape(bytes([0, tape])))), FrameMessage)
    )
    jpeg = bytearray(good.pixels)
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = side.to_bytes(2, "big") * 2
    assert jpeg_size(bytes(jpeg)) == (side, side)
    before_mib = peak_mib()
    for width, height in ((good.width, good.height), (side, side)):
        fields = {**good.__dict__, "width": width, "height": height, "pixels": bytes(jpeg)}
        assert decode_all(encode(FrameMessage(**fields))) is None
    assert peak_mib() - before_mib < 100
    assert side * side > MAX_PIXELS


def test_every_start_of_frame_is_found_and_tables_before_it_are_passed_over() -> None:
    frame = b"\x00\x11\x08\x00\x18\x00\x20\x03"
    table = b"\xff\xc4\x00\x04ab"
    for marker in (0xC0, 0xC1, 0xC2, 0xCF):
        jpeg = b"\xff\xd8" + table + b"\xff\xff\x01" + b"\xff" + bytes([marker]) + frame
        assert jpeg_size(jpeg) == (32, 24)
    for broken in (b"", b"\xff\xd8", b"\xff\xd8" + table, b"\xff\xd8\xff\xda" + frame, b"\x89PNG"):
        assert jpeg_size(broken) is None


def test_a_malformed_face_does_not_get_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    secret = 123.4567
    fields = {"topic": "eye.0", "capture_time_ns": 1, "blink": 0, "confidence": 1}
    sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    sender.linger = 0
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    for strange in (secret, [secret] * 7, {"lids": secret}, b"123.4567"):
        caplog.clear()
        with Subscriber(f"{port}", ["eye.0"]) as client:
            while client.rejected == 0:
                sender.send_multipart([b"eye.0", msgpack.packb({**fields, "lids": strange})])
                time.sleep(0.01)
        assert "lids" in caplog.text
        assert "123" not in caplog.text.replace(f"{port}", "")
    sender.close()


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
