"""The relay's control socket: tells its own ports, passes every other question on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import zmq

from streaming.control import MAX_PART_BYTES, MAX_WAITING
from streaming.door import Door
from streaming.endpoints import LOOPBACK, normalise_endpoint
from streaming.handshake import Handshake, Refused
from streaming.keys import ClientKeys
from streaming.rate_limit import TOO_MANY, RateLimit
from streaming.relay_pictures import PictureRelay
from streaming.topics import NOTIFY

LOGGER = logging.getLogger(__name__)
POLL_MS = 50
ANSWER_MS = 800  # existing clients give up after a second
ASK_PORT_S = 1.0  # a server that was started again may publish on another port
SILENT = "The server does not answer the relay."


class QuestionRelay:
    """A thread between the clients' questions and one lasting encrypted connection.

    Every question gets an answer in time, the server's or `SILENT`; a REQ client would be stuck
    without. `on_port` of the pictures is told whenever the server names its publisher.
    """

    def __init__(
        self,
        server: str,
        keys: ClientKeys | None,
        port: int,
        pictures: PictureRelay,
        stopping: threading.Event,
    ) -> None:
        """Bind loopback `port` (0: any free one); `server` is its control address."""
        self._pictures = pictures
        self._stopping = stopping
        self._limit = RateLimit()
        self._asked_s = -ASK_PORT_S
        self._questions = _open(zmq.REP)
        self._inlet = _open(zmq.SUB)
        self._server = _open(zmq.REQ)
        self._inlet.setsockopt(zmq.SUBSCRIBE, NOTIFY.encode())
        # A question whose answer never came must not block the next one, nor be taken for its own.
        self._server.setsockopt(zmq.REQ_RELAXED, 1)
        self._server.setsockopt(zmq.REQ_CORRELATE, 1)
        self._server.setsockopt(zmq.IMMEDIATE, 1)  # no server, no waiting
        self._server.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._server.setsockopt(zmq.IPV6, 1)
        try:
            self.port = Door(self._questions, LOOPBACK, port, None).port
            self._notification_port = Door(self._inlet, LOOPBACK, 0, None).port
            self._handshake = Handshake(self._server, normalise_endpoint(server), keys)
        except Exception:
            self._close()
            raise
        self._thread = threading.Thread(target=self._run, name="relay questions", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> Refused | None:
        """Why the server does not let us in at present."""
        return self._handshake.trouble

    def join(self) -> None:
        """Wait for the end, after `stopping` was set."""
        self._thread.join()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._questions, zmq.POLLIN)
        poller.register(self._inlet, zmq.POLLIN)
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(POLL_MS))
                self._handshake.tend()
                self._follow_publisher()
                if self._questions in ready and (asked := self._limit.receive(self._questions)):
                    parts, may_ask = asked
                    self._questions.send(self._answer(parts) if may_ask else TOO_MANY.encode())
                if self._inlet in ready and (heard := self._limit.receive(self._inlet)):
                    parts, may_ask = heard
                    if may_ask:
                        self._ask(parts)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the relay was closed.")
        finally:
            self._handshake.close()
            self._close()

    def _answer(self, parts: Sequence[bytes]) -> bytes:
        if parts == [b"SUB_PORT"]:
            return str(self._pictures.port).encode()
        if parts == [b"PUB_PORT"]:
            return str(self._notification_port).encode()
        return self._ask(parts) or SILENT.encode()

    def _ask(self, parts: Sequence[bytes]) -> bytes | None:
        """Put one question to the server; None without an answer in time."""
        try:
            self._server.send_multipart(parts, zmq.NOBLOCK)
        except zmq.Again:
            return None
        if not self._server.poll(ANSWER_MS):
            return None
        return self._server.recv_multipart()[0]

    def _follow_publisher(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s < ASK_PORT_S:
            return
        self._asked_s = now_s
        port = (self._ask([b"SUB_PORT"]) or b"").decode(errors="replace")
        if port.isascii() and port.isdigit() and 1 <= int(port) <= 65535:
            self._pictures.follow(int(port))

    def _close(self) -> None:
        for socket in (self._questions, self._inlet, self._server):
            socket.close()


def _open(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 200)  # ms: the answer to the last question still leaves
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
    socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
    return socket
