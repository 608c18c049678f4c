"""How old frames are when they arrive, how regularly they come, and how many never do."""

from __future__ import annotations

from collections import deque

import numpy as np

from streaming.clock import NS_PER_S

WINDOW = 36_000  # arrivals kept for percentiles: 20 minutes at 30 fps, under 1 MB


class AgeStatistics:
    """Collects arrivals of one topic. Memory stays bounded; counts cover the whole time."""

    def __init__(self, window: int = WINDOW) -> None:
        """Percentiles are over the last `window` arrivals."""
        self.frames = 0
        self.drops = 0  # frame ids that never arrived
        self.restarts = 0  # times the ids began anew: the publisher was started again
        self._ages_ns: deque[int] = deque(maxlen=window)
        self._arrivals_ns: deque[int] = deque(maxlen=window)
        self._last_id: int | None = None

    def add(self, frame_id: int, capture_time_ns: int, arrival_time_ns: int) -> None:
        """Count one arrival; both times on the same clock."""
        if self._last_id is not None:
            if frame_id > self._last_id:
                self.drops += frame_id - self._last_id - 1
            else:
                self.restarts += 1
        self._last_id = frame_id
        self.frames += 1
        self._ages_ns.append(arrival_time_ns - capture_time_ns)
        self._arrivals_ns.append(arrival_time_ns)

    @property
    def fps(self) -> float:
        """Arrivals per second over the window; 0 before the second one."""
        if len(self._arrivals_ns) < 2:
            return 0.0
        span_ns = self._arrivals_ns[-1] - self._arrivals_ns[0]
        return (len(self._arrivals_ns) - 1) * NS_PER_S / span_ns if span_ns > 0 else 0.0

    def age_ms(self, percentile: float) -> float | None:
        """Age in ms at `percentile` 0..100; None before the first arrival."""
        return _percentile_ms(list(self._ages_ns), percentile)

    def interval_ms(self, percentile: float) -> float | None:
        """Time between arrivals in ms at `percentile` 0..100; None before the second one."""
        times = np.fromiter(self._arrivals_ns, dtype=np.int64)
        return _percentile_ms(np.diff(times).tolist(), percentile)

    def summary(self) -> dict[str, object]:
        """Return `frames`, `fps`, `drops`, `restarts`, `age_ms` and `interval_ms` for JSON."""
        return {
            "frames": self.frames,
            "fps": round(self.fps, 3),
            "drops": self.drops,
            "restarts": self.restarts,
            "age_ms": {"p50": self.age_ms(50), "p99": self.age_ms(99)},
            "interval_ms": {"p50": self.interval_ms(50), "p99": self.interval_ms(99)},
        }


def _percentile_ms(values_ns: list[int], percentile: float) -> float | None:
    if not values_ns:
        return None
    return round(float(np.percentile(np.array(values_ns), percentile)) / 1e6, 3)
