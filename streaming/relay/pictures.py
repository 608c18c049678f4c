"""The relay's pictures: subscribes for its clients, passes on the newest of each topic."""

from __future__ import annotations

import logging
import threading
from collections import Counter

import zmq

from streaming.endpoints import KERNEL_BUFFER_BYTES, LOOPBACK, normalise_endpoint
from streaming.security.door import Door
from streaming.security.handshake import Handshake, Refused
from streaming.security.keys import ClientKeys
from streaming.topics import NOTIFY, VIDEO_FORMAT
from streaming.wire import MAX_TOPIC_BYTES

LOGGER = logging.getLogger(__name__)
POLL_MS = 50  # how soon `stopping` or a new port is noticed; messages wake us at once
MAX_BATCH = 64  # messages read at once before the newest are passed on
QUEUED_MESSAGES = 12  # of one client: both bursts of six topics that a publisher may send
MAX_SUBSCRIPTION_BYTES = 1024
WORD = NOTIFY.encode()
# Words are rare; a picture of a video needs the one before it.
EACH_COUNTS = (WORD, f"{VIDEO_FORMAT}.".encode())
MAX_PART_BYTES = 64 << 20  # of a picture; what the decoders take, too


class PictureRelay:
    """A thread between an encrypted publisher and a loopback port.

    Only what a client here subscribed to is asked of the server, so the rest never travels. A
    client that does not read loses messages and delays nobody.
    """

    def __init__(
        self, host: str, keys: ClientKeys | None, port: int, stopping: threading.Event
    ) -> None:
        """Bind loopback `port` (0: any free one); where the server publishes is told later."""
        self.passed: Counter[str] = Counter()  # messages by topic
        self.skipped = 0  # overtaken by newer ones of their topic
        self._host = host
        self._keys = keys
        self._stopping = stopping
        self._server_port: int | None = None
        self._handshake: Handshake | None = None
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._inward = context.socket(zmq.XSUB)
        self._outward = context.socket(zmq.XPUB)
        self._inward.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        self._inward.setsockopt(zmq.RCVHWM, QUEUED_MESSAGES)
        self._inward.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
        self._inward.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._inward.setsockopt(zmq.IPV6, 1)
        self._outward.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        self._outward.setsockopt(zmq.SNDHWM, QUEUED_MESSAGES)
        # Every client that comes or goes is told: a publisher sends a new one a key picture.
        self._outward.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._outward.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
        for socket in (self._inward, self._outward):
            socket.setsockopt(zmq.LINGER, 0)
        try:
            self.port = Door(self._outward, LOOPBACK, port, None).port
        except Exception:
            self._close()
            raise
        self._thread = threading.Thread(target=self._run, name="relay pictures", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> Refused | None:
        """Why the publisher does not let us in at present."""
        return None if self._handshake is None else self._handshake.trouble

    def follow(self, server_port: int) -> None:
        """Take pictures from this port of the server from now on; may be called often."""
        self._server_port = server_port

    def join(self) -> None:
        """Wait for the end, after `stopping` was set."""
        self._thread.join()

    def _run(self) -> None:
        port: int | None = None
        poller = zmq.Poller()
        poller.register(self._inward, zmq.POLLIN)
        poller.register(self._outward, zmq.POLLIN)
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(POLL_MS))
                if self._server_port != port:
                    port = self._server_port
                    self._connect(f"{self._host}:{port}")
                if self._handshake is not None:
                    self._handshake.tend()
                if self._outward in ready:
                    self._pass_subscriptions()
                if self._inward in ready:
                    self._pass_newest()
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the relay was closed.")
        finally:
            self._close()

    def _connect(self, address: str) -> None:
        endpoint = normalise_endpoint(address)
        if self._handshake is None:
            self._handshake = Handshake(self._inward, endpoint, self._keys)
        else:
            self._handshake.connect(endpoint)

    def _pass_subscriptions(self) -> None:
        while (parts := _next(self._outward)) is not None:
            if len(parts) == 1 and parts[0][:1] in (b"\0", b"\1"):
                self._inward.send(parts[0])  # ZeroMQ tells it again when it connects again

    def _pass_newest(self) -> None:
        newest: dict[bytes, list[bytes]] = {}
        for _ in range(MAX_BATCH):
            parts = _next(self._inward)
            if parts is None:
                break
            if parts[0].startswith(WORD):
                # A picture of before a pause that came after the word would end it for clients.
                self._pass_all(newest)
                newest = {}
            if parts[0].startswith(EACH_COUNTS):
                self._pass(parts)
                continue
            self.skipped += newest.pop(parts[0], None) is not None
            newest[parts[0]] = parts
        self._pass_all(newest)

    def _pass_all(self, newest: dict[bytes, list[bytes]]) -> None:
        for parts in newest.values():
            self._pass(parts)

    def _pass(self, parts: list[bytes]) -> None:
        self._outward.send_multipart(parts)  # XPUB drops rather than waits
        if len(self.passed) < MAX_BATCH and len(parts[0]) <= MAX_TOPIC_BYTES:
            self.passed[parts[0].decode(errors="replace")] += 1

    def _close(self) -> None:
        if self._handshake is not None:
            self._handshake.close()
        self._inward.close()
        self._outward.close()


def _next(socket: zmq.Socket[bytes]) -> list[bytes] | None:
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return None
