"""Asks a control socket: the supervisor's way to pause and stop, and to compare clocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import zmq

from streaming.clock import NS_PER_S, ClockOffset, monotonic_ns
from streaming.endpoints import normalise_endpoint
from streaming.errors import UserError
from streaming.messages import Notification, encode

TIMEOUT_S = 1.0


class NoAnswer(UserError):
    """Nobody answers at the control address."""


class ControlClient:
    """Asks one control socket; each question has a connection of its own, so none gets stuck."""

    def __init__(self, endpoint: str, timeout_s: float = TIMEOUT_S) -> None:
        """Remember where to ask; raises `AddressMalformed`. Nothing is sent yet."""
        self.endpoint = normalise_endpoint(endpoint)
        self._timeout_s = timeout_s

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
        return ClockOffset.best([self._probe() for _ in range(probes)])

    def _probe(self) -> ClockOffset:
        asked_ns = monotonic_ns()
        answer = self.ask("t")
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
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        with socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.IPV6, 1)
            socket.connect(self.endpoint)
            socket.send_multipart(parts)
            if not socket.poll(round(self._timeout_s * 1000)):
                raise NoAnswer(
                    f"Nobody answers at {self.endpoint} within {self._timeout_s:g} s.",
                    "Start `unvisor run` or `unvisor demo` first, or check the address.",
                )
            return socket.recv().decode(errors="replace")
