"""Clocks: this machine's monotonic one, another machine's, and the one that clients see."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

NS_PER_S = 1_000_000_000


def monotonic_ns() -> int:
    """Nanoseconds of this machine's monotonic clock, the origin of every `*_time_ns`."""
    return time.monotonic_ns()


def frame_time_ns(start_time_ns: int, frame_index: int, fps: float) -> int:
    """Time of frame n of a recording or simulation: t0 + n / fps, in ns.

    Computed from n each time, so that rounding does not add up over a long clip.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be a positive number.")
    return start_time_ns + round(frame_index * NS_PER_S / fps)


@dataclass(frozen=True)
class ClockOffset:
    """Turns a sender's nanoseconds into ours: ours = sender's + `offset_ns`."""

    offset_ns: int = 0  # 0 on one machine, where all processes share the monotonic clock
    uncertainty_ns: int = 0  # the truth lies within ± this

    @classmethod
    def from_echo(cls, asked_ns: int, sender_ns: int, answered_ns: int) -> ClockOffset:
        """Offset from one question and answer, assuming that both ways took equally long.

        `asked_ns` and `answered_ns` are ours, `sender_ns` is the sender's clock in between.
        """
        if answered_ns < asked_ns:
            raise ValueError(f"Answered at {answered_ns} ns, before it was asked at {asked_ns} ns.")
        middle_ns = (asked_ns + answered_ns) // 2
        return cls(middle_ns - sender_ns, (answered_ns - asked_ns + 1) // 2)

    @classmethod
    def best(cls, offsets: Iterable[ClockOffset]) -> ClockOffset:
        """Return the least uncertain one: the quickest echo had the least room for asymmetry."""
        return min(offsets, key=lambda offset: offset.uncertainty_ns)

    def ours_from_sender(self, sender_ns: int) -> int:
        """Our clock's reading when the sender's showed `sender_ns`."""
        return sender_ns + self.offset_ns

    def sender_from_ours(self, our_ns: int) -> int:
        """Read the sender's clock at our `our_ns`."""
        return our_ns - self.offset_ns


class PublishingClock:
    """Seconds that clients see as `timestamp` and that they may set (`T x`).

    Setting it moves `timestamp` only; `capture_time_ns` never changes. Safe between threads.
    """

    def __init__(self) -> None:
        """Start equal to the monotonic clock."""
        self._lock = threading.Lock()
        self._offset_ns = 0

    def now_s(self) -> float:
        """Seconds now."""
        return self.seconds_at(monotonic_ns())

    def seconds_at(self, time_ns: int) -> float:
        """Seconds shown when the monotonic clock reads `time_ns`."""
        with self._lock:
            return (time_ns + self._offset_ns) / NS_PER_S

    def set_s(self, seconds: float) -> None:
        """Make the clock show `seconds` now; raises ValueError beyond ± 31,000 years."""
        if not abs(seconds) <= 1e12:  # also refuses NaN
            raise ValueError(f"{seconds} is not a time in seconds.")
        with self._lock:
            self._offset_ns = round(seconds * NS_PER_S) - monotonic_ns()
