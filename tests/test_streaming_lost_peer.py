"""A publisher's machine that lost its power: no goodbye comes, and the stream comes back."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from streaming.async_subscriber import AsyncSubscriber
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.recordings.stream_recorder import StreamRecorder
from streaming.security import handshake
from streaming.subscriber import Subscriber

WAIT_S = 20.0
WORDS = "notify."


class Cable:
    """A TCP proxy whose connections can fall silent without being closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cut = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing more pass on what is connected now; what connects later is let through."""
        self._cut.set()
        self._cut = threading.Event()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pass, args=(*ends, self._cut), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, cut: threading.Event) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if not cut.is_set():
                sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def cable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
    """Leads to a publisher that says something twenty times a second."""
    monkeypatch.setattr(handshake, "ASK_ALIVE_MS", 100, raising=False)
    monkeypatch.setattr(handshake, "LOST_MS", 300, raising=False)
    ended = threading.Event()

    def talk() -> None:
        while not ended.wait(0.05):
            publisher.publish(Notification("example"))

    with Publisher(port=0) as publisher:
        talking = threading.Thread(target=talk)
        talking.start()
        opened = Cable(publisher.port)
        yield opened
        opened.close()
        ended.set()
        talking.join()


def test_a_subscriber_connects_again(cable: Cable) -> None:
    with Subscriber(f"127.0.0.1:{cable.port}", [WORDS]) as subscriber:
        assert subscriber.take(WORDS, WAIT_S) is not None
        cable.cut()
        heard = [subscriber.take(WORDS, WAIT_S) for _ in range(4)]  # one or two may be on the way
    assert None not in heard


def test_an_asyncio_subscriber_connects_again(cable: Cable) -> None:
    async def listen() -> list[bool]:
        async with AsyncSubscriber(f"127.0.0.1:{cable.port}", [WORDS]) as subscriber:
            assert await subscriber.take(WORDS, WAIT_S) is not None
            cable.cut()
            return [await subscriber.take(WORDS, WAIT_S) is not None for _ in range(4)]

    assert all(asyncio.run(listen()))


def test_a_recording_goes_on(cable: Cable, tmp_path: Path) -> None:
    with StreamRecorder(f"127.0.0.1:{cable.port}", tmp_path / "a.uvrec", (WORDS,)) as recorder:
        _wait_for(recorder, 1)
        cable.cut()
        _wait_for(recorder, recorder.messages + 4)


def _wait_for(recorder: StreamRecorder, messages: int) -> None:
    ended = threading.Event()
    for _ in range(round(WAIT_S / 0.01)):
        if recorder.messages >= messages:
            return
        ended.wait(0.01)
    raise AssertionError(f"{recorder.messages} messages, not {messages}")
