"""The video delay that an audio pipeline should match, as one steady figure."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

WINDOW = 90  # frames of the median: three seconds at 30 fps
STEP_MS = 0.25  # at most per frame: audio that is stretched faster is heard to be


class DelayMeter:
    """Smooths the time from capture to publication; safe between threads."""

    def __init__(self) -> None:
        """Start without a figure."""
        self._delays_ms: deque[float] = deque(maxlen=WINDOW)
        self._shown_ms: float | None = None
        self._lock = threading.Lock()

    @property
    def delay_ms(self) -> float | None:
        """Smoothed median in ms; None before the first frame."""
        with self._lock:
            return self._shown_ms

    def add(self, capture_time_ns: int, sent_time_ns: int) -> None:
        """Count one frame; both times on the same clock.

        The figure follows the median of the last frames by small steps, so that one slow frame
        moves nothing and a lasting change is followed without a jump.
        """
        with self._lock:
            self._delays_ms.append((sent_time_ns - capture_time_ns) / 1e6)
            median_ms = float(np.median(self._delays_ms))
            if self._shown_ms is None or len(self._delays_ms) < WINDOW // 3:
                self._shown_ms = median_ms  # still settling: nobody can have matched it yet
            else:
                self._shown_ms += min(STEP_MS, max(-STEP_MS, median_ms - self._shown_ms))

    def restart(self) -> None:
        """Forget everything, as after a pause."""
        with self._lock:
            self._delays_ms.clear()
            self._shown_ms = None
