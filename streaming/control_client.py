"""Asks a control socket: the supervisor's way to pause and stop, and to compare clocks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import zmq

from streaming.clock import NS_PER_S, ClockOffset, monotonic_ns
from streaming.endpoints import normalise_endpoint
from streaming.errors import UserError
from streaming.messages import Notification, encode
from streaming.security.handshake import Handshake
from streaming.security.keys import ClientKeys

TIMEOUT_S = 1.0
LOOK_MS = 50  # how soon it is noticed that a key is not allowed; answers wake us at once
Ask = Callable[[Sequence[bytes]], str]


class NoAnswer(UserError):
    """Nobody answers at the control address."""


class ControlClient:
    """Asks one control socket; each question has a connection of its own, so none gets stuck."""

    def __init__(
        self, endpoint: str, timeout_s: float = TIMEOUT_S, keys: ClientKeys | None = None
    ) -> None:
        """Remember where to ask; raises `AddressMalformed`. Nothing is sent yet.

        `keys` (`keys.load_client`) for a server on another machine.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self._timeout_s = timeout_s
        self._keys = keys

    def ask(self, command: str) -> str:
        """Return the answer to a command such as `SUB_PORT`; raises `NoAnswer`."""
        return self._exchange([command.encode()])

    def notify(self, subject: str, fields: Mapping[str, object] | None = None) -> str:
        """Send a notification such as `unvisor.pause`, return the answer; raises `NoAnswer`."""
        return self._exchange(encode(Notification(subject, fields or {})))

    def measure_offset(self, probes: int = 10) -> ClockOffset:
        """Offset of the publishing clock (what `timestamp` shows) to ours, from the best probe.

        Raises `NoAnswer`, also when the answer is no time.
        """
        with self._connected() as ask:  # connecting takes time that would count as the way there
            ask([b"v"])
            return ClockOffset.best([self._probe(ask) for _ in range(probes)])

    def _probe(self, ask: Ask) -> ClockOffset:
        asked_ns = monotonic_ns()
        answer = ask([b"t"])
        answered_ns = monotonic_ns()
        try:
            seconds = float(answer)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            raise NoAnswer(
                f"{self.endpoint} does not tell its time.",
                "Check that this is unvisor's control port.",
            )
        return ClockOffset.from_echo(asked_ns, round(seconds * NS_PER_S), answered_ns)

    def _exchange(self, parts: Sequence[bytes]) -> str:
        with self._connected() as ask:
            return ask(parts)

    @contextmanager
    def _connected(self) -> Iterator[Ask]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        with socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.IPV6, 1)
            handshake = Handshake(socket, self.endpoint, self._keys)
            try:
                yield lambda parts: self._ask(socket, handshake, parts)
            finally:
                handshake.close()

    def _ask(self, socket: zmq.Socket[bytes], handshake: Handshake, parts: Sequence[bytes]) -> str:
        socket.send_multipart(parts)
        deadline_s = time.monotonic() + self._timeout_s
        while not socket.poll(min(LOOK_MS, round(self._timeout_s * 1000))):
            handshake.tend()
            if handshake.trouble is not None:
                raise NoAnswer(handshake.trouble.message, handshake.trouble.next_step)
            if time.monotonic() >= deadline_s:
                raise NoAnswer(
                    f"Nobody answers at {self.endpoint} within {self._timeout_s:g} s.",
                    "Start `unvisor run` or `unvisor demo` first, or check the address.",
                )
        return socket.recv().decode(errors="replace")
