"""Rate limits: a client that asks too much gets a sentence, and the others their answers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import zmq

TOO_MANY = "Too many questions; ask again in a second."
RATE_HZ = 200.0  # of one connection; ten clock probes come at once, a slider perhaps 60 a second
BURST = 400.0
MAX_PEERS = 256  # remembered; the one that was silent for longest is forgotten first
BRAKE_S = 0.002  # a flood is answered no faster: it shall not eat the pipeline's processor time


class RateLimit:
    """One bucket of tokens per connection, and one for each that is not known; one thread only."""

    def __init__(
        self,
        rate_hz: float = RATE_HZ,
        burst: float = BURST,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `burst` at once and `rate_hz` a second in the long run."""
        self._rate_hz = rate_hz
        self._burst = burst
        self._now_s = now_s
        self._peers: OrderedDict[object, tuple[float, float]] = OrderedDict()  # tokens, when
        self.refused = 0

    def allows(self, peer: object) -> bool:
        """Whether `peer` may be served now; takes one of its tokens if so."""
        now_s = self._now_s()
        tokens, since_s = self._peers.pop(peer, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - since_s) * self._rate_hz)
        is_allowed = tokens >= 1.0
        self._peers[peer] = (tokens - is_allowed, now_s)
        while len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)
        self.refused += not is_allowed
        return is_allowed

    def receive(self, socket: zmq.Socket[bytes]) -> tuple[list[bytes], bool] | None:
        """Take one message off `socket`; return it and whether its sender may be served.

        Brakes the caller when not. None when there is no message after all: ZeroMQ calls a
        malformed question readable and then drops it.
        """
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        is_allowed = self.allows(_peer_of(frames))
        if not is_allowed:
            time.sleep(BRAKE_S)
        return [frame.bytes for frame in frames], is_allowed


def tellings() -> RateLimit:
    """For words in the log that a client can cause as often as it likes: 5, then one a minute."""
    return RateLimit(rate_hz=1 / 60, burst=5)


def _peer_of(frames: Sequence[zmq.Frame]) -> object:
    """Return what tells one connection from another: its descriptor and its address."""
    try:
        return frames[0].get(zmq.SRCFD), frames[0].get("Peer-Address")
    except zmq.ZMQError:
        return None
