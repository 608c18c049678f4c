"""A recorded session with known figures, for tests of what is made of it."""

from __future__ import annotations

from edge.profiler.processes import Usage
from edge.profiler.recorder import Arrival, Recording, Sample
from streaming.spans import ProcessSpans, Span

MS = 1_000_000
PIPELINE, CAMERA, NETWORK_POOL, TRACKER_POOL = 10, 11, 12, 13
THREADS = {10: "MainThread", 11: "camera", 12: "network pool", 13: "tracker pool"}


def session(frames: int = 50, dropped_each: int = 0) -> tuple[Recording, dict[str, ProcessSpans]]:
    """A session of 2 s: per frame 6 ms track, 20 ms fill of which 15 ms network, 2 ms publish."""
    spans: list[Span] = []
    arrivals = []
    for index in range(frames):
        frame, start = index * (1 + dropped_each), (1000 + 40 * index) * MS

        def add(name: str, at_ms: float, ms: float, thread: int = PIPELINE) -> None:
            begin = start + round(at_ms * MS)  # noqa: B023
            ns = round(ms * MS)
            spans.append(Span(name, begin, begin + ns, ns, frame, thread))  # noqa: B023

        for _ in range(1 + dropped_each):
            add("decode", 0, 2, CAMERA)
            add("simulate", 2, 3, CAMERA)
        add("track", 5, 6)
        add("network", 14, 15)
        add("fill", 11, 20)
        add("publish", 31, 2)
        arrivals.append(Arrival(frame, start, start + round(32.5 * MS), start + round(33.0 * MS)))
    process = ProcessSpans("edge", 100, THREADS, tuple(spans))
    eyes = ProcessSpans("hmd_capture", 101, {20: "MainThread"}, ())
    samples = [_sample(at_s, frames, dropped_each) for at_s in (0.0, 1.5, 2.0, 2.5, 9.0)]
    recording = Recording(arrivals, samples, {"edge": 100, "hmd_capture": 101, "client": 102})
    return recording, {"edge": process, "hmd_capture": eyes}


def _sample(at_s: float, frames: int, dropped_each: int) -> Sample:
    """25 frames a second; each costs 6+20+2+5 ms on its threads, 5 ms in pools, 7 ms elsewhere."""
    done = 25 * max(0.0, at_s - 1.0)
    camera_s = done * 5e-3 * (1 + dropped_each)
    threads = {10: done * 28e-3, 11: camera_s, 12: done * 4e-3, 13: done * 1e-3}
    edge = Usage(3.0 + sum(threads.values()) + done * 7e-3, 200.0, threads)
    eyes = Usage(0.3 * at_s, 80.0, {20: 0.3 * at_s})
    client = Usage(0.1 * at_s, 90.0, {})
    processes = {"edge": edge, "hmd_capture": eyes, "client": client}
    total = sum(usage.cpu_s for usage in processes.values()) + 0.5 * at_s
    return Sample(round(at_s * 1e9), processes, total, {"power_w": 5.0 + at_s})
