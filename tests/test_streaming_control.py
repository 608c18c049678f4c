from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgpack
import pytest
import zmq

from streaming.clock import PublishingClock, monotonic_ns
from streaming.control import PAUSE, RESUME, STOP, ControlServer
from streaming.control_client import ControlClient, NoAnswer
from streaming.endpoints import AddressInUse, AddressNotAllowed
from streaming.messages import Notification

WAIT_S = 10.0


class Heard:
    """Collects what the callback is given."""

    def __init__(self) -> None:
        self.words: list[Notification] = []
        self.came = threading.Event()

    def __call__(self, word: Notification) -> None:
        self.words.append(word)
        self.came.set()
        if word.subject == "explode":
            raise RuntimeError("the callback is broken")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def clock() -> PublishingClock:
    return PublishingClock()


@pytest.fixture
def server(heard: Heard, clock: PublishingClock) -> Iterator[ControlServer]:
    with ControlServer(45678, heard, clock, port=0) as opened:
        yield opened


@pytest.fixture
def asker(server: ControlServer) -> Iterator[zmq.Socket[bytes]]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    socket.linger = 0
    socket.rcvtimeo = round(WAIT_S * 1000)
    socket.connect(f"tcp://127.0.0.1:{server.port}")
    yield socket
    socket.close()


def answer(asker: zmq.Socket[bytes], *parts: bytes) -> str:
    asker.send_multipart(parts)
    return asker.recv().decode()


def test_ports_version_and_unknown_commands(
    asker: zmq.Socket[bytes], server: ControlServer
) -> None:
    assert answer(asker, b"SUB_PORT") == "45678"
    assert answer(asker, b"PUB_PORT") == str(server.notification_port)
    assert answer(asker, b"v").split(".")[0] == "3"
    for command in (b"sub_port", b"", b"\xff\xfe", b"Tx", b"Rx", b"rr", b"C 1"):
        assert answer(asker, command) == "Unknown command."


def test_time_is_told_and_can_be_set(asker: zmq.Socket[bytes], clock: PublishingClock) -> None:
    before = clock.now_s()
    told = answer(asker, b"t")
    assert before <= float(told) <= clock.now_s()
    assert told == repr(float(told))
    assert answer(asker, b"T 12.5") == "Timesync successful."
    assert 12.5 <= float(answer(asker, b"t")) < 12.5 + 60


@pytest.mark.parametrize("command", [b"T", b"T ", b"T now", b"T nan", b"T inf", b"T 1e300"])
def test_time_that_is_no_time_is_refused_and_nothing_changes(
    asker: zmq.Socket[bytes], clock: PublishingClock, command: bytes
) -> None:
    assert "cannot be converted" in answer(asker, command)
    assert clock.seconds_at(5_000_000_000) == 5.0


@pytest.mark.parametrize("subject", [PAUSE, RESUME, STOP])
def test_words_of_the_supervisor_reach_the_callback(
    server: ControlServer, heard: Heard, subject: str
) -> None:
    client = ControlClient(f"127.0.0.1:{server.port}")
    assert client.notify(subject, {"by": "key"}) == "Message forwarded."
    assert heard.words == [Notification(subject, {"by": "key"})]


def test_everything_an_existing_unity_client_says_while_connecting_is_answered(
    asker: zmq.Socket[bytes],
) -> None:
    for command in (b"SUB_PORT", b"PUB_PORT", b"v"):
        assert answer(asker, command)
    for subject in (
        "eye_process.should_start.1",
        "eye_process.should_start.0",
        "set_detection_mapping_mode",
        "frame_publishing.set_format",
    ):
        fields = msgpack.packb({"subject": subject, "format": "jpeg"})
        assert answer(asker, b"notify." + subject.encode(), fields) == "Message forwarded."


@pytest.mark.parametrize(
    "parts",
    [
        (b"notify.a", b"\xc1"),
        (b"notify.a", b"\x81\xa7subject\xa1b"),
        (b"notify.a", b""),
        (b"", b""),
        (b"\xff", b"\x80"),
        (b"frame.world", b"\x80", b"x"),
        (b"eye.0", b"\x80"),
        tuple([b"x"] * 500),
    ],
)
def test_malformed_questions_are_answered_and_never_stop_the_server(
    asker: zmq.Socket[bytes], heard: Heard, parts: tuple[bytes, ...]
) -> None:
    assert answer(asker, *parts).startswith("Message rejected")
    assert heard.words == []
    assert answer(asker, b"SUB_PORT") == "45678"


def test_well_formed_records_that_are_no_notifications_are_refused(
    asker: zmq.Socket[bytes], heard: Heard
) -> None:
    numbers = {"lids": [0.0] * 36, "pupil": [0.0] * 5, "iris": [0.0] * 5}
    fields = {"topic": "eye.0", "capture_time_ns": 1, "blink": 0, "confidence": 1, **numbers}
    reply = answer(asker, b"eye.0", msgpack.packb(fields))
    assert reply == "Message rejected: only notifications are taken here."
    assert heard.words == []


def test_oversized_question_costs_its_sender_the_connection_and_nobody_else(
    asker: zmq.Socket[bytes], server: ControlServer
) -> None:
    rude: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    rude.linger = 0
    rude.connect(f"tcp://127.0.0.1:{server.port}")
    rude.send(bytes(10_000_000))
    assert not rude.poll(200)
    rude.close()
    assert answer(asker, b"SUB_PORT") == "45678"


def test_broken_callback_is_answered_and_never_stops_the_server(
    asker: zmq.Socket[bytes],
) -> None:
    fields = msgpack.packb({"subject": "explode"})
    assert answer(asker, b"notify.explode", fields) == "Message failed: explode."
    assert answer(asker, b"SUB_PORT") == "45678"


def test_notifications_published_to_the_pub_port_arrive_and_malformed_ones_do_not(
    asker: zmq.Socket[bytes], heard: Heard
) -> None:
    sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
    sender.linger = 0
    sender.connect(f"tcp://127.0.0.1:{answer(asker, b'PUB_PORT')}")
    deadline = time.monotonic() + WAIT_S
    while not heard.came.wait(0.02):
        assert time.monotonic() < deadline
        sender.send_multipart([b"notify.bad", b"\xc1"])
        sender.send_multipart([b"frame.world", b"\x80", b""])
        sender.send_multipart([b"notify.hello", msgpack.packb({"subject": "hello"})])
    sender.close()
    assert {word.subject for word in heard.words} == {"hello"}


def test_client_that_leaves_before_its_answer_harms_nobody(
    asker: zmq.Socket[bytes], server: ControlServer
) -> None:
    for _ in range(20):
        leaving: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        leaving.connect(f"tcp://127.0.0.1:{server.port}")
        leaving.send(b"t")
        leaving.close(linger=50)
    assert answer(asker, b"SUB_PORT") == "45678"


def test_callback_may_close_the_server(clock: PublishingClock) -> None:
    servers: list[ControlServer] = []
    server = ControlServer(1, lambda word: servers[0].close(), clock, port=0)
    servers.append(server)
    assert ControlClient(f"{server.port}").notify(STOP) == "Message forwarded."
    server.close()
    with ControlServer(1, print, clock, port=server.port) as again:
        assert again.port == server.port


def test_only_questions_in_an_envelope_are_answered_and_several_may_be_under_way(
    asker: zmq.Socket[bytes], server: ControlServer
) -> None:
    dealer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.rcvtimeo = round(WAIT_S * 1000)
    dealer.connect(f"tcp://127.0.0.1:{server.port}")
    for parts in ([b"v"], [b"v", b"v"], [b""], [b"", b"SUB_PORT"], [b"hop", b"", b"v"]):
        dealer.send_multipart(parts)
    assert dealer.recv_multipart() == [b"", b"45678"]
    assert dealer.recv_multipart() == [b"hop", b"", b"3.5.7"]
    dealer.close()
    assert answer(asker, b"SUB_PORT") == "45678"


def test_callback_learns_which_connection_said_a_word_and_since_when(
    asker: zmq.Socket[bytes], server: ControlServer, heard: Heard
) -> None:
    before_s = time.monotonic()
    packed = msgpack.packb({"subject": "a"})
    for _ in range(2):
        answer(asker, b"notify.a", packed)
    ControlClient(f"{server.port}").notify("a")
    first, again, other = (word.sender for word in heard.words)
    assert first is not None
    assert other is not None
    assert first == again
    assert first.connection != other.connection
    assert before_s <= first.since_s <= other.since_s


def test_offset_between_clocks_is_measured_over_the_control_socket(
    server: ControlServer, clock: PublishingClock
) -> None:
    clock.set_s(1000.0)
    offset = ControlClient(f"{server.port}").measure_offset()
    our_ns = monotonic_ns()
    shown_ns = clock.seconds_at(our_ns) * 1e9
    assert abs(offset.sender_from_ours(our_ns) - shown_ns) <= offset.uncertainty_ns + 1000


def test_silence_is_an_error_that_names_the_address_and_the_next_step(
    clock: PublishingClock,
) -> None:
    with ControlServer(1, print, clock, port=0) as server:
        port = server.port
    with pytest.raises(NoAnswer, match=rf"127.0.0.1:{port}.*`unvisor run`"):
        ControlClient(f"{port}", timeout_s=0.1).ask("v")


def test_control_port_in_use_and_foreign_hosts_are_refused(
    server: ControlServer, clock: PublishingClock
) -> None:
    with pytest.raises(AddressInUse, match=str(server.port)):
        ControlServer(1, print, clock, port=server.port)
    with pytest.raises(AddressNotAllowed, match="not encrypted"):
        ControlServer(1, print, clock, port=0, host="0.0.0.0")
