"""Follows another machine's clock: asks again and again, and keeps the best estimate fresh."""

from __future__ import annotations

import logging
import math
import threading
import time

import zmq

from streaming.clock import NS_PER_S, ClockOffset, monotonic_ns
from streaming.clock_echo import ASK_TIME
from streaming.clock_offset import OffsetEstimate
from streaming.closing import Closing
from streaming.endpoints import normalise_endpoint
from streaming.security.keys import ClientKeys

LOGGER = logging.getLogger(__name__)
EAGER_S, EAGER_EVERY_S, CALM_EVERY_S = 5.0, 0.05, 0.1  # more often at first
ANSWER_S = 1.0
MAX_ANSWER_BYTES = 1024  # the handshake of an encrypted connection counts, too
MAX_SECONDS = 9e9


class ClockFollower(Closing):
    """Asks `t` at a control or clock address; whoever is not there is waited for."""

    def __init__(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        """Start asking; raises `AddressMalformed`.

        `keys` (`keys.load_client`) for a clock on another machine.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self._keys = keys
        self.answers = self.rejected = 0  # rejected: answers that were no time
        self._estimate = OffsetEstimate()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="clock follower", daemon=True)
        self._thread.start()

    def offset(self) -> ClockOffset | None:
        """Offset now; None while nobody has answered yet."""
        with self._lock:
            return self._estimate.at(monotonic_ns())

    def close(self) -> None:
        """Stop asking."""
        self._stopping.set()
        self._thread.join()

    def _follow(self) -> None:
        eager_until_s = time.monotonic() + EAGER_S
        socket: zmq.Socket[bytes] | None = None
        try:
            while not self._stopping.is_set():
                socket = socket or self._connect()
                if not self._ask(socket):
                    socket.close()  # a REQ socket without its answer is stuck for good
                    socket = None
                is_eager = time.monotonic() < eager_until_s
                self._stopping.wait(EAGER_EVERY_S if is_eager else CALM_EVERY_S)
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the clock follower was closed.")
        finally:
            if socket is not None:
                socket.close()

    def _connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IPV6, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_ANSWER_BYTES)
        if self._keys is not None:
            self._keys.apply(socket)
        socket.connect(self.endpoint)
        return socket

    def _ask(self, socket: zmq.Socket[bytes]) -> bool:
        """One question; False when no usable answer came."""
        asked_ns = monotonic_ns()
        socket.send_string(ASK_TIME)
        deadline_ns = asked_ns + round(ANSWER_S * NS_PER_S)
        while not socket.poll(50):
            if self._stopping.is_set() or monotonic_ns() > deadline_ns:
                return False
        answered_ns = monotonic_ns()
        seconds = _seconds(socket.recv_multipart())
        if seconds is None:
            self.rejected += 1
            return False
        with self._lock:
            self.answers += 1
            self._estimate.add(asked_ns, round(seconds * NS_PER_S), answered_ns)
        return True


def _seconds(parts: list[bytes]) -> float | None:
    try:
        seconds = float(parts[0].decode()) if len(parts) == 1 else math.nan
    except ValueError:  # also what is not UTF-8
        return None
    return seconds if abs(seconds) <= MAX_SECONDS else None  # also refuses NaN
