"""How long each stage takes, and what the process costs: fixed buffers, so memory stays flat."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from models.engine.interface import Engine, restarts_of
from streaming.spans import SpanRecorder

CAPACITY = 1 << 14  # newest values kept per stage: nine minutes at 30 fps
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


class Samples:
    """The newest `capacity` numbers."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Allocate once."""
        self._values: NDArray[np.float64] = np.zeros(capacity, np.float64)
        self.count = 0  # ever added

    def add(self, value: float) -> None:
        """Keep a value, overwriting the oldest when full."""
        self._values[self.count % self._values.size] = value
        self.count += 1

    def values(self) -> NDArray[np.float64]:
        """What is kept, in no particular order."""
        return self._values[: min(self.count, self._values.size)]

    def summary(self) -> dict[str, float]:
        """p50, p95, p99 and max; empty without values."""
        if not self.count:
            return {}
        points = np.percentile(self.values(), list(PERCENTILES.values()))
        return {name: round(float(p), 3) for name, p in zip(PERCENTILES, points, strict=True)}


class StageTimes:
    """Milliseconds per named stage; stages may run on different threads."""

    def __init__(self, capacity: int = CAPACITY, spans: SpanRecorder | None = None) -> None:
        """Start without stages; `spans` also keeps each run of each stage by itself."""
        self._capacity = capacity
        self._stages: dict[str, Samples] = {}
        self._lock = threading.Lock()
        self._spans = spans
        self._nvtx = _nvtx()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a `with`; an NVTX range as well where `nvtx` is installed."""
        if self._nvtx is not None:
            self._nvtx.push_range(stage)
        cpu_ns = 0 if self._spans is None else time.thread_time_ns()
        start_ns = time.monotonic_ns()
        try:
            yield
        finally:
            end_ns = time.monotonic_ns()
            if self._spans is not None:
                self._spans.add(stage, start_ns, end_ns, time.thread_time_ns() - cpu_ns)
            if self._nvtx is not None:
                self._nvtx.pop_range()
            self.add(stage, (end_ns - start_ns) / 1e6)

    def begin_frame(self, frame_id: int) -> None:
        """What this thread measures from here on belongs to that frame."""
        if self._spans is not None:
            self._spans.begin_frame(frame_id)

    def add(self, stage: str, milliseconds: float) -> None:
        """Count one run of a stage."""
        with self._lock:
            if stage not in self._stages:
                self._stages[stage] = Samples(self._capacity)
            self._stages[stage].add(milliseconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """`stages_ms` of the timing JSON."""
        with self._lock:
            return {name: samples.summary() for name, samples in self._stages.items()}


class TimedEngine:
    """An engine whose steps are the stage `network`, a part of the stage `fill`."""

    def __init__(self, engine: Engine, times: StageTimes) -> None:
        """Run `engine`."""
        self._engine, self._times = engine, times

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._engine.name

    @property
    def restarts(self) -> int:
        """See `Restarting.restarts`."""
        return restarts_of(self._engine)

    def step(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine.step`."""
        with self._times.measure("network"):
            return self._engine.step(inputs)

    def reset(self) -> None:
        """Zero the states."""
        self._engine.reset()


class ProcessUsage:
    """CPU cores kept busy by this process since the last `restart`."""

    def __init__(self) -> None:
        """Start counting now."""
        self.restart()

    def restart(self) -> None:
        """Count CPU time from here."""
        self._wall = time.monotonic()
        self._cpu = _cpu_seconds()

    def cpu_cores(self) -> float:
        """Mean number of cores kept busy, all threads of this process."""
        wall = time.monotonic() - self._wall
        return (_cpu_seconds() - self._cpu) / wall if wall > 0 else 0.0


def rss_mib() -> float:
    """Resident memory of this process in MiB now (its peak where /proc is missing)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def device_name() -> str:
    """What the times were measured on, such as "2 × Intel Xeon …"."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} × {model}"


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _nvtx() -> ModuleType | None:
    try:
        return importlib.import_module("nvtx")
    except ImportError:
        return None
