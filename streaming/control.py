"""The control socket: answers Pupil Remote's questions and passes notifications on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import zmq

from streaming.clock import PublishingClock
from streaming.door import Door, Guard
from streaming.endpoints import LOOPBACK
from streaming.messages import MessageError, Notification, decode
from streaming.rate_limit import TOO_MANY, RateLimit
from streaming.topics import CONTROL_PORT, NOTIFY

LOGGER = logging.getLogger(__name__)
PAUSE, RESUME, STOP = "unvisor.pause", "unvisor.resume", "unvisor.stop"

# Clients compare this with versions of Pupil Capture to learn which conventions are spoken.
PUPIL_VERSION = "3.5.7"
UNKNOWN = "Unknown command."
FORWARDED = "Message forwarded."
MAX_PART_BYTES = 64 * 1024
MAX_WAITING = 32  # questions of one client; more wait on its side
POLL_MS = 50  # how soon `close` is noticed; questions wake the thread at once


class ControlServer:
    """Answers on a thread of its own, so that a busy pipeline never delays an answer.

    Every question gets exactly one answer, whatever it holds: a client's REQ socket is stuck for
    good without. Notifications come as multipart questions or on the port that `PUB_PORT` names;
    each valid one goes to `on_notification`, called on the control thread: be quick there.
    """

    def __init__(
        self,
        publisher_port: int,
        on_notification: Callable[[Notification], object],
        clock: PublishingClock,
        port: int = CONTROL_PORT,
        host: str = LOOPBACK,
        guard: Guard = None,
    ) -> None:
        """Bind and start; raises `AddressInUse` or `AddressNotAllowed`.

        `publisher_port` is what `SUB_PORT` answers; `clock` is the publisher's. A `host` beyond
        loopback needs a `guard`: who has no allowed key gets no answer at all.
        """
        self._publisher_port = publisher_port
        self._on_notification = on_notification
        self._clock = clock
        self._stopping = threading.Event()
        self._questions = _open(zmq.REP)
        self._inlet = _open(zmq.SUB)  # where clients publish notifications to
        self._inlet.setsockopt(zmq.SUBSCRIBE, NOTIFY.encode())
        try:
            self._doors = [
                Door(self._questions, host, port, guard),
                Door(self._inlet, host, 0, guard),
            ]
        except Exception:
            self._close_sockets()
            raise
        self.port, self.notification_port = (door.port for door in self._doors)
        self._limit = RateLimit()
        self._malformed = 0
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the ports."""
        self._stopping.set()
        if threading.current_thread() is not self._thread:  # a callback may close us
            self._thread.join()

    def __enter__(self) -> ControlServer:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._questions, zmq.POLLIN)
        poller.register(self._inlet, zmq.POLLIN)
        try:
            while not self._stopping.is_set():
                ready = dict(poller.poll(POLL_MS))
                for door in self._doors:
                    door.cut_revoked()
                if self._questions in ready and (asked := self._limit.receive(self._questions)):
                    parts, may_ask = asked
                    self._questions.send_string(self._answer(parts) if may_ask else TOO_MANY)
                if self._inlet in ready and (heard := self._limit.receive(self._inlet)):
                    parts, may_ask = heard
                    if may_ask:
                        self._forward(parts)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the control socket was closed.")
        finally:
            self._close_sockets()

    def _answer(self, parts: Sequence[bytes]) -> str:
        if len(parts) > 1:
            return self._forward(parts)
        command = parts[0].decode(errors="replace")
        if command == "SUB_PORT":
            return str(self._publisher_port)
        if command == "PUB_PORT":
            return str(self.notification_port)
        if command == "v":
            return PUPIL_VERSION
        if command == "t":
            return repr(self._clock.now_s())
        if command == "T" or command.startswith("T "):
            return self._set_clock(command[1:].strip())
        return UNKNOWN

    def _set_clock(self, seconds: str) -> str:
        try:
            self._clock.set_s(float(seconds))
        except ValueError:
            return f"'{seconds[:40]}' cannot be converted to a time in seconds."
        return "Timesync successful."

    def _forward(self, parts: Sequence[bytes]) -> str:
        try:
            message = decode(parts)
        except MessageError as error:
            self._malformed += 1
            if self._malformed == 1:  # a broken sender must not fill the log
                LOGGER.warning("Ignoring malformed notifications. First: %s", error)
            return f"Message rejected: {error}"
        if not isinstance(message, Notification):
            return "Message rejected: only notifications are taken here."
        try:
            self._on_notification(message)
        except Exception:
            # The client is owed its answer and the next client a living thread.
            LOGGER.exception("Acting on the notification %.60r failed.", message.subject)
            return f"Message failed: {message.subject}."
        return FORWARDED

    def _close_sockets(self) -> None:
        self._questions.close()
        self._inlet.close()


def _open(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 200)  # ms: the answer to the last question still leaves
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
    socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
    return socket
