"""Spans: when a named piece of work began and ended, on which thread, for which frame.

`edge` and `hmd_capture` record them while the product is profiled; both use this machine's
monotonic clock, so that the spans of several processes share one time line.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

KEPT = 1 << 17  # newest spans kept: six minutes of a session at 30 fps
NO_FRAME = -1


@dataclass(frozen=True)
class Span:
    """One piece of work."""

    name: str
    start_ns: int  # monotonic clock of this machine
    end_ns: int
    cpu_ns: int  # CPU time of the thread itself in between; helpers' threads are not in it
    frame_id: int  # `NO_FRAME` when it belongs to none
    thread_id: int  # the system's id of the thread


@dataclass(frozen=True)
class ProcessSpans:
    """What one process recorded."""

    process: str  # edge, hmd_capture
    process_id: int
    threads: Mapping[int, str]  # names by the system's thread id
    spans: tuple[Span, ...]  # in the order of their ends


class _OfThread(threading.local):
    """What a thread knows about itself; asking the system each time would cost more."""

    def __init__(self, threads: dict[int, str]) -> None:
        self.thread_id = threading.get_native_id()
        self.frame_id = NO_FRAME
        threads[self.thread_id] = threading.current_thread().name


class SpanRecorder:
    """Keeps the newest spans of this process; any thread may add."""

    def __init__(self, kept: int = KEPT) -> None:
        """Start empty; `kept` bounds the memory."""
        self._threads: dict[int, str] = {}
        self._own = _OfThread(self._threads)
        self._spans: deque[tuple[str, int, int, int, int, int]] = deque(maxlen=kept)

    def begin_frame(self, frame_id: int) -> None:
        """What this thread records from here on belongs to that frame."""
        self._own.frame_id = frame_id

    def add(self, name: str, start_ns: int, end_ns: int, cpu_ns: int) -> None:
        """Keep a span of the calling thread."""
        own = self._own
        self._spans.append((name, start_ns, end_ns, cpu_ns, own.frame_id, own.thread_id))

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Record the body of a `with`."""
        start_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns()
        try:
            yield
        finally:
            self.add(name, start_ns, time.monotonic_ns(), time.thread_time_ns() - cpu_ns)

    @contextmanager
    def naming_new_threads(self, name: str) -> Iterator[None]:
        """Name the threads that the body starts behind Python's back, such as a runtime's pool."""
        before = _thread_ids()
        yield
        self._threads.update(dict.fromkeys(_thread_ids() - before, name))

    def name_threads(self) -> None:
        """Remember the names of Python's threads that run now."""
        running = {t.native_id: t.name for t in threading.enumerate() if t.native_id is not None}
        self._threads.update(running)

    def save(self, path: Path, process: str) -> None:
        """Write everything to an .npz file."""
        self.name_threads()
        spans = list(self._spans)
        numbers = np.array([span[1:] for span in spans], np.int64).reshape(-1, 5)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A list of no names would become an array of numbers.
        np.savez(
            path,
            process=np.array([process, str(os.getpid())]),
            thread_ids=np.array(list(self._threads), np.int64),
            thread_names=np.array(list(self._threads.values()), np.str_),
            names=np.array([span[0] for span in spans], np.str_),
            numbers=numbers,
        )


def load_spans(path: Path) -> ProcessSpans:
    """Read what `SpanRecorder.save` wrote.

    Raises:
        OSError, ValueError: there is no such file, or it is damaged.
    """
    with np.load(path) as stored:
        process, process_id = (str(word) for word in stored["process"])
        names: list[Any] = stored["names"].tolist()
        numbers: list[Any] = stored["numbers"].tolist()
        threads = dict(
            zip(stored["thread_ids"].tolist(), stored["thread_names"].tolist(), strict=True)
        )
    spans = tuple(Span(name, *row) for name, row in zip(names, numbers, strict=True))
    return ProcessSpans(process, int(process_id), threads, spans)


def _thread_ids() -> set[int]:
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:  # not Linux
        return set()
