"""When a running session tells its status again, and how fast it is."""

from __future__ import annotations

import time


class StatusTicker:
    """Says when to tell the status again, and the frame rate since the last time."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told_s = self._logged_s = self._rated_s = time.monotonic()
        self._frames = 0

    def is_due(self, period_s: float) -> bool:
        """Whether `period_s` passed since it was last due."""
        now_s = time.monotonic()
        if now_s - self._told_s < period_s:
            return False
        self._told_s = now_s
        return True

    def is_log_due(self, period_s: float) -> bool:
        """The same for the log, asked when the status is due."""
        if self._told_s - self._logged_s < period_s:
            return False
        self._logged_s = self._told_s
        return True

    def rate(self, frames: int) -> float:
        """Frames per second since the last time, `frames` being those so far."""
        now_s = time.monotonic()
        rate = (frames - self._frames) / max(now_s - self._rated_s, 1e-3)
        self._frames, self._rated_s = frames, now_s
        return rate
