"""What passes through the relay in which order: answers behind lost ones, words behind pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import cast

import pytest
import zmq

from streaming.envelope import split_envelope
from streaming.relay.pictures import PictureRelay
from streaming.relay.questions import QuestionRelay

WAIT_S = 8.0
ANSWERS = {b"SUB_PORT": b"50999", b"v": b"3.5.7"}


class BreakingServer:
    """Hangs up on the first question instead of answering it, and listens again at once."""

    def __init__(self) -> None:
        self._socket, self.port = _listening("tcp://127.0.0.1:*")
        self.answered = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set() and not self._socket.poll(20):
            pass
        self._socket.close()
        self._socket, _ = _listening(f"tcp://127.0.0.1:{self.port}")
        while not self._ended.is_set():
            if self._socket.poll(20):
                envelope, question = split_envelope(self._socket.recv_multipart())
                self._socket.send_multipart([*envelope, ANSWERS[question[0]]])
                self.answered += 1
        self._socket.close()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


def _listening(address: str) -> tuple[zmq.Socket[bytes], int]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    socket.linger = 0
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket.bind(address)
        except zmq.ZMQError:  # the port is not free yet
            assert time.monotonic() < deadline
            continue
        return socket, int(socket.last_endpoint.rsplit(b":", 1)[1])


@pytest.fixture
def server() -> Iterator[BreakingServer]:
    opened = BreakingServer()
    yield opened
    opened.close()


class Pictures:
    """Stands in for the relay's pictures: hears where the server publishes."""

    port = 1

    def __init__(self) -> None:
        self.told = threading.Event()

    def follow(self, server_port: int) -> None:
        assert server_port == int(ANSWERS[b"SUB_PORT"])
        self.told.set()


def test_a_question_that_broke_with_its_connection_takes_no_later_answer(
    server: BreakingServer,
) -> None:
    """Each answer was taken for the lost one's, so that the next question waited for its own."""
    pictures, stopping = Pictures(), threading.Event()
    address = f"127.0.0.1:{server.port}"
    relay = QuestionRelay(address, None, 0, cast(PictureRelay, pictures), stopping)
    try:
        assert pictures.told.wait(WAIT_S), f"{server.answered} answers were not heard"
    finally:
        stopping.set()
        relay.join()


def test_a_word_passes_after_the_pictures_that_came_before_it() -> None:
    """A picture of before a pause that follows `unvisor.paused` would end the pause for clients."""
    stopping = threading.Event()
    publisher, subscriber = (zmq.Context.instance().socket(kind) for kind in (zmq.XPUB, zmq.SUB))
    with publisher, subscriber:
        publisher.linger = subscriber.linger = 0
        relay = PictureRelay("127.0.0.1", None, 0, stopping)
        try:
            relay.follow(publisher.bind_to_random_port("tcp://127.0.0.1"))
            subscriber.subscribe(b"")
            subscriber.connect(f"tcp://127.0.0.1:{relay.port}")
            assert publisher.poll(round(WAIT_S * 1000))
            came = []
            for _ in range(100):  # most pairs wait for the relay together
                publisher.send_multipart([b"frame.face", b"map", b"pixels"])
                publisher.send_multipart([b"notify.unvisor.paused", b"map"])
                for _ in range(2):
                    assert subscriber.poll(round(WAIT_S * 1000))
                    came.append(subscriber.recv_multipart()[0])
        finally:
            stopping.set()
            relay.join()
    assert came == [b"frame.face", b"notify.unvisor.paused"] * 100
