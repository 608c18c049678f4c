"""Whether sending is paused, and what the pause key does next."""

from __future__ import annotations

from collections.abc import Callable

from streaming.clock import monotonic_ns
from streaming.control import PAUSE, RESUME


class PauseSwitch:
    """Pauses and resumes a session from a key's thread, while another one hears its status.

    What the status says was so when it was told: read after the key was pressed, it may be from
    before. Believed then, it would make the next press resume where a pause is wanted.
    """

    def __init__(self, notify: Callable[[str], object]) -> None:
        """`notify` sends a word to the session and returns once that was obeyed, or raises."""
        self._notify = notify
        self._changed_ns = 0
        self.is_paused = False

    def toggle(self) -> None:
        """Stop sending, or go on sending; raises what `notify` raises, nothing is changed then."""
        wanted = not self.is_paused  # not asked again below: the status may be heard meanwhile
        self._notify(PAUSE if wanted else RESUME)
        self.is_paused, self._changed_ns = wanted, monotonic_ns()

    def hear(self, is_paused: bool, told_ns: int) -> bool:
        """Take what the session told at a time of this machine's clock; returns what holds.

        The page or a client may have paused or resumed.
        """
        if told_ns > self._changed_ns:
            self.is_paused = is_paused
        return self.is_paused
