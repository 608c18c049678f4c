"""Whether the wearer pauses, as far as a client can hear it."""

from __future__ import annotations

from streaming.clock import NS_PER_S, monotonic_ns
from streaming.messages import FrameMessage, Message, Notification
from streaming.publisher import PAUSED, RESUMED

# A paused publisher says so once a second. Whoever no longer says it has ended, or is out of reach.
BELIEVED_S = 5.0
NEVER = -1


class HeardPause:
    """Listens to the publisher's words; one thread at a time hears, any may ask."""

    def __init__(self) -> None:
        """Start without a pause."""
        self._told_ns = self._seen_ns = NEVER

    @property
    def is_on(self) -> bool:
        """Whether the newest word was `unvisor.paused`, came lately, and after any picture."""
        is_recent = monotonic_ns() - self._told_ns < BELIEVED_S * NS_PER_S
        return is_recent and self._told_ns > self._seen_ns

    def hear(self, message: Message, came_ns: int | None = None) -> None:
        """Take in any message: a word, or a picture, which proves that there is no pause.

        `came_ns`, on the monotonic clock, where words and pictures are heard out of order; None is
        now.
        """
        came_ns = monotonic_ns() if came_ns is None else came_ns
        if isinstance(message, FrameMessage):
            self._seen_ns = came_ns
        elif isinstance(message, Notification) and message.subject in (PAUSED, RESUMED):
            self._told_ns = came_ns if message.subject == PAUSED else NEVER
