"""Worker processes that make streams ahead of the training, into memory they share with it."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.errors import UserError
from training.feeding.decoded import load_all
from training.feeding.streams import (
    FACE_VALUES,
    PLANES,
    PreparedStream,
    StreamMaker,
    StreamSettings,
)

LOOK_S = 1.0  # between looks whether the workers live
SLOTS_PER_WORKER = 3  # streams that may wait to be taken
SHARED = Path("/dev/shm")  # where Linux keeps shared memory; containers often have 64 MiB of it


@dataclass(frozen=True)
class Order:
    """A stream to make, and from which decoded clips."""

    number: int
    parts: tuple[str, ...]  # folders of `training.feeding.decoded`


class Makers(Protocol):
    """Makes ordered streams, in any order."""

    most_waiting: int  # how many orders it is worth to have placed

    def order(self, order: Order) -> None:
        """Ask for a stream."""
        ...

    def take(self, wait: bool) -> tuple[int, PreparedStream] | None:
        """A stream that is ready, if need be waited for; its arrays are valid until the next."""
        ...

    def close(self) -> None:
        """End whatever runs."""
        ...


class InlineMakers:
    """Makes streams in this process, one after another."""

    most_waiting = 1

    def __init__(self, settings: StreamSettings, seed: int) -> None:
        """Make streams of `settings`."""
        self._bench = _Bench(settings, seed)
        self._orders: list[Order] = []

    def order(self, order: Order) -> None:
        """See `Makers`."""
        self._orders.append(order)

    def take(self, wait: bool) -> tuple[int, PreparedStream] | None:
        """See `Makers`."""
        if not wait:
            return None
        order = self._orders.pop(0)
        return order.number, self._bench.make(order)

    def close(self) -> None:
        """Nothing runs."""


class WorkerMakers:
    """Makes streams in worker processes."""

    def __init__(self, settings: StreamSettings, seed: int, size_px: int, workers: int) -> None:
        """Start `workers` processes; they import no torch."""
        context = multiprocessing.get_context("spawn")
        self.most_waiting = 2 * workers
        count = SLOTS_PER_WORKER * workers
        shape = _Shape(settings.frames, size_px)
        _check_room(shape.bytes * count)
        self._memory = SharedMemory(create=True, size=shape.bytes * count)
        self._views = [shape.view(self._memory, slot) for slot in range(count)]
        self._orders: Any = context.Queue()
        self._free: Any = context.Queue()
        self._ready: Any = context.Queue()
        for slot in range(count):
            self._free.put(slot)
        self._taken: int | None = None
        given = (settings, seed, shape, self._memory.name, self._orders, self._free, self._ready)
        self._processes = [
            context.Process(target=_work, args=given, daemon=True) for _ in range(workers)
        ]
        for process in self._processes:
            process.start()

    def order(self, order: Order) -> None:
        """See `Makers`."""
        self._orders.put(order)

    def take(self, wait: bool) -> tuple[int, PreparedStream] | None:
        """See `Makers`."""
        if self._taken is not None:
            self._free.put(self._taken)
            self._taken = None
        found = self._next(wait)
        if found is None:
            return None
        number, slot, hole, error = found
        if error:
            raise UserError(f"A stream could not be prepared: {error}")
        self._taken = slot
        planes, faces = self._views[slot]
        return number, PreparedStream(planes, faces, hole)

    def close(self) -> None:
        """Stop the workers and give the memory back."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for waiting in (self._orders, self._free, self._ready):
            waiting.cancel_join_thread()  # nobody will read what is still in the pipe
        self._memory.unlink()
        self._views = []
        with suppress(BufferError):  # an error's traceback may hold a stream: freed with it
            self._memory.close()

    def _next(self, wait: bool) -> Any:
        while True:
            try:
                return self._ready.get(wait, LOOK_S)
            except queue.Empty:
                if not wait:
                    return None
                self._check_alive()

    def _check_alive(self) -> None:
        dead = [p for p in self._processes if not p.is_alive()]
        if dead:
            raise UserError(
                f"A worker that prepares clips ended (exit code {dead[0].exitcode}).",
                "Memory may be short: start again with fewer --workers.",
            )


@dataclass(frozen=True)
class _Shape:
    """How a stream lies in shared memory: planes, then faces."""

    frames: int
    size_px: int

    @property
    def bytes(self) -> int:
        return self._planes + 4 * self.frames * FACE_VALUES

    @property
    def _planes(self) -> int:
        return self.frames * PLANES * self.size_px**2

    def view(
        self, memory: SharedMemory, slot: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        start = slot * self.bytes
        shape = (self.frames, PLANES, self.size_px, self.size_px)
        planes: NDArray[np.uint8] = np.ndarray(shape, np.uint8, memory.buf, start)
        faces = (self.frames, FACE_VALUES)
        return planes, np.ndarray(faces, np.float32, memory.buf, start + self._planes)


def _check_room(wanted: int) -> None:
    """Raise UserError when shared memory is too small: writing would kill a worker unexplained."""
    if not SHARED.is_dir():
        return
    free = shutil.disk_usage(SHARED).free
    if free < wanted:
        raise UserError(
            f"Streams on their way need {wanted / 2**20:.0f} MiB of {SHARED}, which has "
            f"{free / 2**20:.0f} MiB free.",
            "Use fewer --workers; a container gets more by --shm-size.",
        )


class _Bench:
    """Keeps the maker of the parts that were used last."""

    def __init__(self, settings: StreamSettings, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self._parts: tuple[str, ...] = ()
        self._maker: StreamMaker | None = None

    def make(self, order: Order) -> PreparedStream:
        if self._maker is None or self._parts != order.parts:
            clips = load_all(Path(part) for part in order.parts)
            self._maker = StreamMaker(clips, self._settings, self._seed)
            self._parts = order.parts
        return self._maker.make(order.number)


def _work(
    settings: StreamSettings,
    seed: int,
    shape: _Shape,
    memory_name: str,
    orders: Any,
    free: Any,
    ready: Any,
) -> None:
    threading.Thread(target=_end_with_the_training, daemon=True).start()
    cv2.setNumThreads(1)
    memory = SharedMemory(memory_name)
    bench = _Bench(settings, seed)
    while True:
        order = orders.get()
        slot = free.get()
        try:
            stream = bench.make(order)
            planes, faces = shape.view(memory, slot)
            planes[:], faces[:] = stream.planes, stream.faces
            ready.put((order.number, slot, stream.hole, ""))
        except Exception:  # the message travels; the training ends with it
            ready.put((order.number, slot, (0, 0, 0, 0), traceback.format_exc(limit=-2)))


def _end_with_the_training() -> None:
    """A training that was killed stops no worker: it would wait for orders for ever."""
    training = multiprocessing.parent_process()
    if training is not None:
        training.join()
        os._exit(1)


def make_makers(settings: StreamSettings, seed: int, size_px: int, workers: int) -> Makers:
    """Worker processes, or this process when `workers` is 0."""
    if workers == 0:
        return InlineMakers(settings, seed)
    return WorkerMakers(settings, seed, size_px, workers)


def check_clips(parts: Sequence[str], settings: StreamSettings) -> None:
    """Raise ValueError when no stream can be made from these clips, before workers start."""
    StreamMaker(load_all(Path(part) for part in parts), settings, 0)
