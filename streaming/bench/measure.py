"""The measurements of the stream benchmark: a source, client processes, and what they saw."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from streaming.clock import NS_PER_S, monotonic_ns
from streaming.errors import UserError
from streaming.publisher import Publisher
from streaming.records import ImageU8, RestoredFace, Status

PICTURES = 8  # different ones, so that no two neighbours are alike
START_S = 60.0  # a client that shows nothing by then never will
SETTLE_S = 1.0
CROWD_TURNS = 6
FRESH_MS = 150.0
Times = NDArray[np.int64]  # (N,3) ns: capture, arrival, shown


@dataclass(frozen=True)
class Load:
    """What is published: pictures of one size on one topic at one rate."""

    topic: str
    width: int  # px
    height: int
    fps: float
    jpeg_quality: int = 90

    @property
    def is_crop(self) -> bool:
        """Whether the topic shows the crop rather than the whole frame."""
        return self.topic.endswith(".face")


class Source:
    """Publishes a `Load` on a thread, each picture captured at its own tick."""

    def __init__(self, load: Load) -> None:
        """Bind and start."""
        self._load = load
        self._images = [_picture(load.height, load.width, n) for n in range(PICTURES)]
        self._publisher = Publisher(port=0, jpeg_quality=load.jpeg_quality)
        self.endpoint = self._publisher.endpoint
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._publish, name="source", daemon=True)
        self._thread.start()

    def __enter__(self) -> Source:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop and free the port."""
        self._stopping.set()
        self._thread.join()
        self._publisher.close()

    def _publish(self) -> None:
        due_s, frame_id = time.monotonic(), 0
        while not self._stopping.is_set():
            self._publisher.publish_restored(self._face(frame_id))
            frame_id += 1
            due_s = max(due_s + 1 / self._load.fps, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _face(self, frame_id: int) -> RestoredFace:
        image = self._images[frame_id % PICTURES]
        nothing = np.empty((0, 0, 3), np.uint8)
        now_ns = monotonic_ns()
        return RestoredFace(
            frame_id=frame_id,
            capture_time_ns=now_ns,
            publish_time_ns=now_ns,
            image=nothing if self._load.is_crop else image,
            crop=image if self._load.is_crop else nothing,
            frame_from_crop=np.eye(2, 3, dtype=np.float32),
            landmarks=np.empty((0, 3), np.float32),
            gaze=np.zeros((2, 2), np.float32),
            openness=np.ones(2, np.float32),
            status=(Status.LIVE,),
            filler="none",
            landmark_source="oracle",
        )


class Client:
    """One client process."""

    def __init__(self, endpoint: str, topic: str) -> None:
        """Start it; it connects by itself."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streaming.bench.client", endpoint, topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Return when it has shown its first picture; raises `UserError` when it never does."""
        silence = threading.Timer(START_S, self._process.kill)
        silence.start()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        silence.cancel()
        if line.strip() != "ready":
            raise UserError("A client process of the benchmark shows nothing.", "See its message.")

    def stall(self) -> None:
        """Let it stand still, its receiving thread too."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def finish(self) -> Times:
        """End it and return what it saw."""
        seen, _ = self._process.communicate("")
        return np.array(json.loads(seen.splitlines()[-1]), dtype=np.int64).reshape(-1, 3)

    def close(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.wait()


@contextmanager
def clients_of(source: Source, load: Load, count: int) -> Iterator[list[Client]]:
    """Start `count` clients and wait until each has shown a picture."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            clients.append(Client(source.endpoint, load.topic))
            stack.callback(clients[-1].close)
        for client in clients:
            client.wait_until_ready()
        yield clients


def ages_ms(
    times: Sequence[Times], since_ns: int, until_ns: int, column: int
) -> NDArray[np.float64]:
    """Ages in ms of the pictures captured in [since, until): at arrival (1) or shown (2)."""
    rows = np.concatenate(list(times))
    rows = rows[(rows[:, 0] >= since_ns) & (rows[:, 0] < until_ns)]
    if not len(rows):
        raise UserError("No picture arrived while it was measured.", "Try `--seconds 20`.")
    ages: NDArray[np.float64] = (rows[:, column] - rows[:, 0]) / 1e6
    return ages


def measure_delay(load: Load, seconds: float) -> dict[str, float]:
    """Delays of one client.

    Returns `arrival_p50_ms`, `arrival_p99_ms`, `shown_p50_ms`, `shown_p99_ms`, `fps`, `pictures`.
    """
    with Source(load) as source, clients_of(source, load, 1) as (client,):
        time.sleep(SETTLE_S)
        window = _wait(seconds)
        times = [client.finish()]
    return _figures(times, [window])


def measure_crowd(load: Load, seconds: float, clients: int) -> dict[str, float]:
    """Delays of all clients but one, which stands still half of the time.

    In turns, so that what else the machine does falls on both. Returns the figures of
    `measure_delay` while it stands still, `arrival_p99_without_ms` of the rest of the time, and
    `slowdown`, the one p99 over the other.
    """
    windows: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    with Source(load) as source, clients_of(source, load, clients) as started:
        for is_stalled in (False, True) * (CROWD_TURNS // 2):
            started[0].stall() if is_stalled else started[0].wake()
            time.sleep(SETTLE_S)
            windows[is_stalled].append(_wait(2 * seconds / CROWD_TURNS))
        times = [client.finish() for client in started[1:]]
    without, found = _figures(times, windows[False]), _figures(times, windows[True])
    slowdown = found["arrival_p99_ms"] / without["arrival_p99_ms"]
    return {
        **found,
        "arrival_p99_without_ms": without["arrival_p99_ms"],
        "slowdown": round(slowdown, 3),
    }


def _wait(seconds: float) -> tuple[int, int]:
    since_ns = monotonic_ns()
    time.sleep(seconds)
    return since_ns, monotonic_ns()


def _figures(times: Sequence[Times], windows: Sequence[tuple[int, int]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, column in (("arrival", 1), ("shown", 2)):
        ages = np.concatenate([ages_ms(times, *window, column) for window in windows])
        for percent in (50, 99):
            found[f"{name}_p{percent}_ms"] = round(float(np.percentile(ages, percent)), 3)
    span_s = sum(until_ns - since_ns for since_ns, until_ns in windows) / NS_PER_S
    found["pictures"] = len(ages)
    found["fps"] = round(len(ages) / len(times) / span_s, 2)
    return found


def measure_stall(load: Load, stall_s: float, after_s: float = 2.0) -> dict[str, float]:
    """What a client shows that stood still for `stall_s`.

    Returns `first_age_ms` of the first picture that it shows after it woke, `oldest_age_ms` of
    all of them, how many were older than 150 ms (`stale_pictures`), and `fresh_after_ms` from
    waking to the first one after those.
    """
    with Source(load) as source, clients_of(source, load, 1) as (client,):
        time.sleep(SETTLE_S)
        client.stall()
        time.sleep(stall_s)
        woken_ns = monotonic_ns()
        client.wake()
        time.sleep(after_s)
        times = client.finish()
    # A picture that had arrived when the client stopped is finished first: not counted.
    shown = times[times[:, 1] >= woken_ns]
    ages = (shown[:, 2] - shown[:, 0]) / 1e6
    stale = np.flatnonzero(ages > FRESH_MS)
    first_fresh = stale[-1] + 1 if len(stale) else 0
    if first_fresh >= len(shown):
        raise UserError("The client that stood still shows nothing new.", "Try again.")
    fresh_ns = shown[first_fresh, 2]
    return {
        "first_age_ms": round(float(ages[0]), 3),
        "oldest_age_ms": round(float(ages.max()), 3),
        "stale_pictures": len(stale),
        "fresh_after_ms": round(float(fresh_ns - woken_ns) / 1e6, 3),
    }


def _picture(height: int, width: int, number: int) -> ImageU8:
    """A smooth scene with a camera's noise: its JPEG is as large as a real one's."""
    rng = np.random.default_rng(number)
    small = rng.uniform(30, 225, (height // 8, width // 8, 3)).astype(np.float32)
    scene = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = scene + rng.normal(0, 3, (height, width, 3))
    picture: ImageU8 = np.clip(noisy, 0, 255).astype(np.uint8)
    return picture
