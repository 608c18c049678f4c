"""The control socket: answers Pupil Remote's questions and passes notifications on."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import zmq

from streaming.clock import PublishingClock
from streaming.closing import Closing
from streaming.endpoints import LOOPBACK
from streaming.envelope import split_envelope
from streaming.errors import UserError
from streaming.messages import MessageError, Notification, Sender, decode
from streaming.security.door import Door, Guard
from streaming.security.rate_limit import TOO_MANY, RateLimit
from streaming.topics import CONTROL_PORT, NOTIFY

LOGGER = logging.getLogger(__name__)
PAUSE, RESUME, STOP = "unvisor.pause", "unvisor.resume", "unvisor.stop"

# Clients compare this with versions of Pupil Capture to learn which conventions are spoken.
PUPIL_VERSION = "3.5.7"
UNKNOWN = "Unknown command."
FORWARDED = "Message forwarded."
DONE = "OK"
NO_RECORDER = "Recording is not available: this program was started without a recorder."
NO_CALIBRATION = "Not calibrated over the network: run `calibrate-reference` before the session."
SHOULD_START, SHOULD_STOP = "recording.should_start", "recording.should_stop"
MAX_SENDERS = 1024  # remembered; then the one that was silent for longest is forgotten
MAX_NAME = 128  # characters of a recording's name
MAX_PART_BYTES = 64 * 1024
MAX_WAITING = 32  # questions of one client; more wait on its side
POLL_MS = 50  # how soon `close` is noticed; questions wake the thread at once


class ControlServer(Closing):
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
        *,
        on_record_start: Callable[[str], object] | None = None,
        on_record_stop: Callable[[], object] | None = None,
    ) -> None:
        """Bind and start; raises `AddressInUse` or `AddressNotAllowed`.

        `publisher_port` is what `SUB_PORT` answers; `clock` is the publisher's. A `host` beyond
        loopback needs a `guard`: who has no allowed key gets no answer at all.
        `on_record_start(name)`, with an empty name where the client gave none, and
        `on_record_stop()` are called on the control thread; a `UserError` of theirs is the answer.
        """
        self._on_record_start = on_record_start
        self._on_record_stop = on_record_stop
        self._publisher_port = publisher_port
        self._on_notification = on_notification
        self._clock = clock
        self._senders: OrderedDict[bytes, Sender] = OrderedDict()
        self._stopping = threading.Event()
        # A REP would not tell one client from another; this one keeps to the same lockstep.
        self._questions = _open(zmq.ROUTER)
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
                    self._serve_one(*asked)
                if self._inlet in ready and (heard := self._limit.receive(self._inlet)):
                    word, may_speak = heard
                    if may_speak:
                        self._forward(word)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the control socket was closed.")
        finally:
            self._close_sockets()

    def _serve_one(self, message: list[bytes], may_ask: bool) -> None:
        """Answer one question; its envelope ends with the empty part that every REQ sends."""
        envelope, question = split_envelope(message)
        if envelope:
            sender = self._sender(b"/".join(envelope[:-1]))
            reply = self._answer(question, sender) if may_ask else TOO_MANY
            self._questions.send_multipart([*envelope, reply.encode()])

    def _sender(self, connection: bytes) -> Sender:
        """Who asks; ZeroMQ numbers the connections, also those behind a proxy."""
        sender = self._senders.pop(connection, None) or Sender(connection.hex(), time.monotonic())
        self._senders[connection] = sender
        while len(self._senders) > MAX_SENDERS:
            self._senders.popitem(last=False)
        return sender

    def _answer(self, parts: Sequence[bytes], sender: Sender) -> str:
        if len(parts) > 1:
            return self._forward(parts, sender)
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
        if command == "R" or command.startswith("R "):
            return self._record(command[1:].strip())
        if command == "r":
            return self._stop_recording()
        if command in ("C", "c"):
            return NO_CALIBRATION
        return UNKNOWN

    def _record(self, name: str) -> str:
        if self._on_record_start is None:
            return NO_RECORDER
        if len(name) > MAX_NAME or not name.isprintable():
            return f"A recording's name has at most {MAX_NAME} printable characters."
        start = self._on_record_start
        return _try(lambda: start(name), "Starting the recording")

    def _stop_recording(self) -> str:
        if self._on_record_stop is None:
            return NO_RECORDER
        return _try(self._on_record_stop, "Stopping the recording")

    def _set_clock(self, seconds: str) -> str:
        try:
            self._clock.set_s(float(seconds))
        except ValueError:
            return f"'{seconds[:40]}' cannot be converted to a time in seconds."
        return "Timesync successful."

    def _forward(self, parts: Sequence[bytes], sender: Sender | None = None) -> str:
        try:
            message = decode(parts)
        except MessageError as error:
            self._malformed += 1
            if self._malformed == 1:  # a broken sender must not fill the log
                LOGGER.warning("Ignoring malformed notifications. First: %s", error)
            return f"Message rejected: {error}"
        if not isinstance(message, Notification):
            return "Message rejected: only notifications are taken here."
        if message.subject == SHOULD_START:
            name = message.fields.get("session_name", "")
            return self._record(name if isinstance(name, str) else "")
        if message.subject == SHOULD_STOP:
            return self._stop_recording()
        try:
            self._on_notification(dataclasses.replace(message, sender=sender))
        except Exception:
            # The client is owed its answer and the next client a living thread.
            LOGGER.exception("Acting on the notification %.60r failed.", message.subject)
            return f"Message failed: {message.subject}."
        return FORWARDED

    def _close_sockets(self) -> None:
        self._questions.close()
        self._inlet.close()


def _try(action: Callable[[], object], what: str) -> str:
    try:
        action()
    except UserError as error:
        return str(error)
    except Exception:  # the client is owed its answer and the next client a living thread
        LOGGER.exception("%s failed.", what)
        return f"{what} failed."
    return DONE


def _open(kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.setsockopt(zmq.LINGER, 200)  # ms: the answer to the last question still leaves
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PART_BYTES)
    socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
    return socket
