"""Who wants what: the words that subscribers send to the publishing socket."""

from __future__ import annotations

import time
from collections.abc import Iterable

import zmq

from streaming.topics import (
    EYE_PARAMETERS,
    EYES,
    FACE_STATE,
    FORMAT_TOPICS,
    FRAMES,
    NOTIFY,
    SIMULATED_EYES,
)

STREAMED_TOPICS = (*FRAMES, FACE_STATE, *EYES, *EYE_PARAMETERS, *SIMULATED_EYES, *FORMAT_TOPICS)
MAX_WORDS = 1000  # read at once: a subscriber that never stops talking must not stop the stream


def _is_below(topic: str, prefix: str) -> bool:
    """Whether who subscribed to `prefix` gets `topic`.

    Whoever subscribes to everything gets `frame.*` and not every format of it: those cost an
    encoder each and have to be asked for by name, such as `h264.`.
    """
    image_format = FORMAT_TOPICS.get(topic)
    is_named = image_format is None or prefix.startswith(f"{image_format}.")
    return is_named and topic.startswith(prefix)


# For every prefix of our topics, and there are no others that count: what it stands for.
BELOW: dict[bytes, frozenset[str]] = {
    prefix.encode(): frozenset(topic for topic in STREAMED_TOPICS if _is_below(topic, prefix))
    for prefix in {topic[:end] for topic in STREAMED_TOPICS for end in range(len(topic) + 1)}
}


class Subscriptions:
    """Keeps the prefixes that anybody subscribed to; needs a lock around it."""

    def __init__(self) -> None:
        """Start with nobody."""
        self.topics: frozenset[str] = frozenset()  # of `STREAMED_TOPICS`
        self._since_s: dict[bytes, float] = {}  # by prefix: when its first subscriber came

    def wants(self, topic: str) -> bool:
        """Whether a message of `topic` would reach anybody; words count as always wanted."""
        return topic in self.topics or topic.startswith(NOTIFY)

    def since_s(self, topic: str) -> float | None:
        """When the first of those who want `topic` now subscribed; None when nobody does."""
        times = (since_s for prefix, since_s in self._since_s.items() if topic in BELOW[prefix])
        return min(times, default=None)

    def read(self, socket: zmq.Socket[bytes]) -> frozenset[str]:
        """Take what subscribers said; return the topics that were just asked for.

        `socket` is a verbose XPUB: it tells of every subscriber that comes and of the last of a
        prefix that leaves.
        """
        asked: set[bytes] = set()
        has_left = False
        for _ in range(MAX_WORDS):
            try:
                word, *others = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            prefix = word[1:]
            # Only prefixes of our own topics are kept: a client cannot make the set grow.
            if others or prefix not in BELOW:
                continue
            if word[:1] == b"\x01":
                asked.add(prefix)
                self._since_s.setdefault(prefix, time.monotonic())
            elif word[:1] == b"\x00":
                self._since_s.pop(prefix, None)
                has_left = True
        if asked or has_left:
            self.topics = _all_below(self._since_s)
        return _all_below(asked)


def _all_below(prefixes: Iterable[bytes]) -> frozenset[str]:
    return frozenset().union(*(BELOW[prefix] for prefix in prefixes))
