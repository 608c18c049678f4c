"""The relay's control socket: tells its own ports, passes every other question on."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

import zmq

from streaming.control import MAX_PART_BYTES, MAX_WAITING
from streaming.endpoints import LOOPBACK, normalise_endpoint
from streaming.envelope import split_envelope
from streaming.relay.pictures import PictureRelay
from streaming.security.door import Door
from streaming.security.handshake import Handshake, Refused
from streaming.security.keys import ClientKeys
from streaming.security.rate_limit import TOO_MANY, RateLimit
from streaming.topics import NOTIFY

LOGGER = logging.getLogger(__name__)
POLL_MS = 50
ANSWER_S = 0.8  # existing clients give up after a second
ASK_PORT_S = 1.0  # a server that was started again may publish on another port
SILENT = b"The server does not answer the relay."
OWN_PORT, OWN_WORD = (b"port", b""), (b"word", b"")  # envelopes of what the relay itself asks
_Envelope = tuple[bytes, ...]


class QuestionRelay:
    """A thread between the clients' questions and one lasting encrypted connection.

    Every question gets an answer in time, the server's or `SILENT`; a REQ client would be stuck
    without. Envelopes pass, too, so that the server can tell the clients from one another.
    """

    def __init__(
        self,
        server: str,
        keys: ClientKeys | None,
        port: int,
        pictures: PictureRelay,
        stopping: threading.Event,
    ) -> None:
        """Bind loopback `port` (0: any free one); `server` is its control address.

        `pictures` is told where the server publishes.
        """
        self._pictures = pictures
        self._stopping = stopping
        self._limit = RateLimit()
        self._asked_s = -ASK_PORT_S
        self._due_s: list[tuple[float, _Envelope]] = []  # until when a question may be answered
        self._late: Counter[_Envelope] = Counter()  # answers that nobody waits for any more
        self._losses = 0  # of the server's connections, as far as they were dealt with
        self._questions = _open(zmq.ROUTER)
        self._inlet = _open(zmq.SUB)
        self._server = _open(zmq.DEALER)
        self._inlet.setsockopt(zmq.SUBSCRIBE, NOTIFY.encode())
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
        for socket in (self._questions, self._inlet, self._server):
            poller.register(socket, zmq.POLLIN)
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(POLL_MS))
                self._tend()
                if self._server in ready:
                    self._return_answer()
                if self._questions in ready and (asked := self._limit.receive(self._questions)):
                    self._serve_one(*asked)
                if self._inlet in ready and (heard := self._limit.receive(self._inlet)):
                    word, may_speak = heard
                    if may_speak:
                        self._ask(OWN_WORD, word)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the relay was closed.")
        finally:
            self._handshake.close()
            self._close()

    def _tend(self) -> None:
        """Give up on answers that are overdue, and ask where the server publishes."""
        self._handshake.tend()
        if self._handshake.losses != self._losses:
            self._losses = self._handshake.losses
            self._give_up_all()
        now_s = time.monotonic()
        while self._due_s and self._due_s[0][0] < now_s:
            _, envelope = self._due_s.pop(0)
            self._late[envelope] += 1
            self._tell(envelope, SILENT)
        if now_s - self._asked_s >= ASK_PORT_S:
            self._asked_s = now_s
            self._ask(OWN_PORT, [b"SUB_PORT"])

    def _give_up_all(self) -> None:
        """No answer of a lost connection will come: what is asked anew must not wait behind it."""
        given_up, self._due_s = self._due_s, []
        self._late.clear()
        for _, envelope in given_up:
            self._tell(envelope, SILENT)

    def _serve_one(self, message: list[bytes], may_ask: bool) -> None:
        envelope, question = split_envelope(message)
        if not envelope:
            return
        if not may_ask:
            self._tell(tuple(envelope), TOO_MANY.encode())
        elif question == [b"SUB_PORT"]:
            self._tell(tuple(envelope), str(self._pictures.port).encode())
        elif question == [b"PUB_PORT"]:
            self._tell(tuple(envelope), str(self._notification_port).encode())
        else:
            self._ask(tuple(envelope), question)

    def _ask(self, envelope: _Envelope, question: list[bytes]) -> None:
        try:
            self._server.send_multipart([*envelope, *question], zmq.NOBLOCK)
            self._due_s.append((time.monotonic() + ANSWER_S, envelope))
        except zmq.Again:
            self._tell(envelope, SILENT)

    def _return_answer(self) -> None:
        try:
            *parts, answer = self._server.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        envelope = tuple(parts)
        if envelope in self._late:  # the server answers one client's questions in their order
            self._late -= Counter([envelope])  # and forgets it at zero
            return
        for at, (_, waiting) in enumerate(self._due_s):
            if waiting == envelope:
                del self._due_s[at]
                self._tell(envelope, answer)
                return

    def _tell(self, envelope: _Envelope, answer: bytes) -> None:
        if envelope == OWN_PORT:
            self._follow_publisher(answer.decode(errors="replace"))
        elif envelope != OWN_WORD:
            self._questions.send_multipart([*envelope, answer])  # ROUTER drops rather than waits

    def _follow_publisher(self, port: str) -> None:
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
