from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from streaming.clock import PublishingClock
from streaming.control import ControlServer
from streaming.security import rate_limit
from streaming.security.rate_limit import BURST, MAX_PEERS, TOO_MANY, RateLimit

WAIT_MS = 20_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[ControlServer]:
    with ControlServer(45678, lambda word: None, PublishingClock(), port=0) as opened:
        yield opened


def connected(server: ControlServer, kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = 100_000
    socket.connect(f"tcp://127.0.0.1:{server.port}")
    return socket


def test_a_burst_is_served_then_as_many_a_second_as_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(rate_hz=10, burst=5, now_s=clock)
    assert [limit.allows("a") for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now_s += 0.35
    assert [limit.allows("a") for _ in range(5)] == [True] * 3 + [False] * 2
    clock.now_s += 1000
    assert sum(limit.allows("a") for _ in range(20)) == 5
    assert limit.refused == 2 + 2 + 15


def test_one_connections_flood_takes_nothing_from_another() -> None:
    limit = RateLimit(rate_hz=10, burst=5, now_s=Clock())
    for _ in range(100):
        limit.allows("flood")
    assert all(limit.allows("calm") for _ in range(5))


def test_connections_that_are_remembered_are_bounded() -> None:
    limit = RateLimit(now_s=Clock())
    for peer in range(10 * MAX_PEERS):
        assert limit.allows(peer)
    assert len(limit._peers) == MAX_PEERS


def test_questions_beyond_the_limit_are_answered_with_a_sentence(server: ControlServer) -> None:
    flood, calm = connected(server, zmq.DEALER), connected(server, zmq.REQ)
    count = 3 * int(BURST)
    sender = threading.Thread(
        target=lambda: [flood.send_multipart([b"", b"SUB_PORT"]) for _ in range(count)]
    )
    sender.start()
    sender.join()
    answers = []
    while len(answers) < count:
        assert flood.poll(WAIT_MS)
        answers.append(flood.recv_multipart()[-1].decode())
        if len(answers) % 200 == 0:  # meanwhile another client asks and is answered
            calm.send(b"SUB_PORT")
            assert calm.poll(WAIT_MS)
            assert calm.recv() == b"45678"
    flood.close()
    calm.close()
    assert set(answers) == {"45678", TOO_MANY}
    assert answers[: int(BURST)] == ["45678"] * int(BURST)


def test_a_flood_of_published_notifications_is_thinned_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "BRAKE_S", 0.0)
    heard: list[object] = []
    with ControlServer(1, heard.append, PublishingClock(), port=0) as server:
        sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        sender.linger = 0
        sender.sndhwm = 100_000
        sender.connect(f"tcp://127.0.0.1:{server.notification_port}")
        word = [b"notify.x", b"\x81\xa7subject\xa1x"]
        while not heard:
            sender.send_multipart(word)
            time.sleep(0.01)
        begin_s, before = time.monotonic(), len(heard)
        for _ in range(20_000):
            sender.send_multipart(word)
        calm = connected(server, zmq.REQ)
        calm.send(b"v")
        assert calm.poll(WAIT_MS)
        allowed = BURST + rate_limit.RATE_HZ * (time.monotonic() - begin_s) + 1
        assert len(heard) - before <= allowed
        calm.close()
        sender.close()
