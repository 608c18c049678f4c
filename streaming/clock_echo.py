"""Tells this machine's clock to whoever asks, so that others can turn our times into theirs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import zmq

from streaming.clock import NS_PER_S, monotonic_ns
from streaming.closing import Closing
from streaming.endpoints import LOOPBACK
from streaming.security.door import Door, Guard

LOGGER = logging.getLogger(__name__)
ASK_TIME = "t"  # Pupil Remote's question, answered in seconds
UNKNOWN = "Unknown command."
POLL_MS = 50
MAX_QUESTION_BYTES = 1024  # the handshake of an encrypted connection has some 300


class ClockEcho(Closing):
    """Answers on a thread of its own: an answer that waits for other work is a wrong one."""

    def __init__(
        self,
        port: int = 0,
        host: str = LOOPBACK,
        now_ns: Callable[[], int] = monotonic_ns,
        guard: Guard = None,
    ) -> None:
        """Bind and start (`port` 0: any free one); raises `AddressInUse`, `AddressNotAllowed`.

        `now_ns` is the clock that is told; beyond loopback a `guard` is needed (`door.open_guard`).
        """
        self._now_ns = now_ns
        self._stopping = threading.Event()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_QUESTION_BYTES)
        try:
            self._door = Door(self._socket, host, port, guard)
        except Exception:
            self._socket.close()
            raise
        self.port = self._door.port
        self._thread = threading.Thread(target=self._serve, name="clock echo", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                self._door.cut_revoked()
                if not self._socket.poll(POLL_MS):
                    continue
                is_known = self._socket.recv_multipart() == [ASK_TIME.encode()]
                answer = repr(self._now_ns() / NS_PER_S) if is_known else UNKNOWN
                self._socket.send_string(answer)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the clock's socket was closed.")
        finally:
            self._socket.close()
