"""Whether the wearer pauses, as far as a client can hear it."""

from __future__ import annotations

import math
import time

from streaming.messages import FrameMessage, Message, Notification
from streaming.publisher import PAUSED, RESUMED

# A paused publisher says so once a second. Whoever no longer says it has ended, or is out of reach.
BELIEVED_S = 5.0


class HeardPause:
    """Listens to the publisher's words; one thread hears, any may ask."""

    def __init__(self) -> None:
        """Start without a pause."""
        self._told_s = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether the newest word was `unvisor.paused`, and came lately."""
        return time.monotonic() - self._told_s < BELIEVED_S

    def hear(self, message: Message) -> None:
        """Take in any message: a word, or a picture, which proves that there is no pause."""
        if isinstance(message, FrameMessage):
            self._told_s = -math.inf
        elif isinstance(message, Notification) and message.subject in (PAUSED, RESUMED):
            self._told_s = time.monotonic() if message.subject == PAUSED else -math.inf
