"""Tells the backlog that a client finds after standing still from what is published now."""

from __future__ import annotations

from collections import deque

LATE_NS = 100_000_000  # later than usual by so much is a backlog, not a slow moment
USUAL_OF = 100  # arrivals whose least age is the usual one


class Backlog:
    """Knows how old messages of one kind usually are; used on one thread.

    Only differences of ages are compared, so the clocks of two machines need not agree.
    """

    def __init__(self) -> None:
        """Start knowing nothing: the first messages are never late."""
        self._ages_ns: deque[int] = deque(maxlen=USUAL_OF)

    def is_late(self, age_ns: int) -> bool:
        """Whether newer messages must be on their way."""
        return bool(self._ages_ns) and age_ns - min(self._ages_ns) > LATE_NS

    def add(self, age_ns: int) -> None:
        """Count a message that was handed over; a late one is the usual from now on."""
        if self.is_late(age_ns):
            self._ages_ns.clear()
        self._ages_ns.append(age_ns)
