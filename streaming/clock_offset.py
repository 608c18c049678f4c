"""How far another machine's clock is off ours, from many questions and answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streaming.clock import NS_PER_S, ClockOffset

WINDOW_NS = 10 * NS_PER_S
KEPT = 256
MAX_DRIFT_PPM = 200  # two crystals of ± 100 ppm
# An answer in float64 seconds is a few ns off; so much disagreement is no step of a clock.
ROUNDING_NS = 2_000


@dataclass(frozen=True)
class _Bounds:
    """What one answer proves: it was given after the question and before its arrival."""

    time_ns: int  # our clock, middle of the exchange
    low_ns: int  # ours = sender's + offset, low <= offset <= high
    high_ns: int


class OffsetEstimate:
    """Intersects what all answers of the last seconds prove.

    The quickest way there and the quickest way back count separately, so that jitter on both does
    not have to be small in the same exchange. An old bound is widened by what the clocks may have
    parted since. Answers that contradict newer ones tell of another epoch (the clock was set, the
    machine restarted) and are left out at once.
    """

    def __init__(self) -> None:
        """Start without any answer."""
        self._bounds: deque[_Bounds] = deque(maxlen=KEPT)

    def add(self, asked_ns: int, sender_ns: int, answered_ns: int) -> None:
        """Take one exchange in: the first and last time are ours, the one between is the sender's.

        Raises ValueError when it was answered before it was asked.
        """
        if answered_ns < asked_ns:
            raise ValueError(f"Answered at {answered_ns} ns, before it was asked at {asked_ns} ns.")
        middle_ns = (asked_ns + answered_ns) // 2
        bounds = _Bounds(middle_ns, asked_ns - sender_ns, answered_ns - sender_ns)
        self._bounds.append(bounds)

    def at(self, now_ns: int) -> ClockOffset | None:
        """Best offset at our `now_ns`; None before the first answer.

        The truth lies within its uncertainty as long as the clocks part by less than
        `MAX_DRIFT_PPM`; without new answers it grows by that much.
        """
        low_ns: float | None = None
        high_ns = 0.0
        for bounds in reversed(self._bounds):
            age_ns = abs(now_ns - bounds.time_ns)
            if low_ns is not None and age_ns > WINDOW_NS:
                break
            slack_ns = ROUNDING_NS + age_ns * MAX_DRIFT_PPM * 1e-6
            if low_ns is None:
                low_ns, high_ns = bounds.low_ns - slack_ns, bounds.high_ns + slack_ns
                continue
            low = max(low_ns, bounds.low_ns - slack_ns)
            high = min(high_ns, bounds.high_ns + slack_ns)
            if low > high:
                break  # this one and all before it are of another epoch
            low_ns, high_ns = low, high
        if low_ns is None:
            return None
        return ClockOffset(round((low_ns + high_ns) / 2), round((high_ns - low_ns) / 2) + 1)
