"""Whose CPU time it was: core-milliseconds per frame, by part of the product.

A stage's milliseconds tell how long the frame waited for it; core-milliseconds tell what it cost,
helpers' threads included. The budget on a CPU is in core-milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge.profiler.recorder import Recording, Sample
from edge.profiler.trace import thread_label
from streaming.spans import ProcessSpans

SIMULATION = ("oracle", "simulate", "feed")  # stages that a real camera does not have
REFERENCE_FPS = 30.0  # the eye cameras' cost does not depend on the frame rate: per 1/30 s


def core_ms(recording: Recording, spans: Mapping[str, ProcessSpans]) -> dict[str, float]:
    """Core-ms per frame of `network`, `tracker`, `rest`, `simulation` and `client`.

    What the camera's thread does counts per camera frame, everything else per processed frame: on
    a machine that cannot keep up, dropped frames are decoded too. `eyes` is all of `hmd_capture`,
    per 1/30 s; `client` is the measuring program, which receives, decodes and samples. Empty where
    the system tells nothing or nothing ran.
    """
    edge, ends = spans.get("edge"), _ends(recording.steady)
    if edge is None or ends is None:
        return {}
    first, last = ends
    stages, runs = _stages(edge, first.time_ns, last.time_ns)
    frames = runs.get("publish", 0)
    if not frames:
        return {}
    pools = _named_threads(edge, recording.steady)
    network = stages.get("network", 0.0) + 1e3 * pools.get("network pool", 0.0)
    tracker = stages.get("track", 0.0) + 1e3 * pools.get("tracker pool", 0.0)
    camera = sum(stages.get(name, 0.0) for name in (*SIMULATION, "decode"))
    rest = 1e3 * _used(first, last, "edge") - network - tracker - camera
    costs = {
        "network": network / frames,
        "tracker": tracker / frames,
        "rest": rest / frames + _each(stages, runs, "decode"),
        "simulation": sum(_each(stages, runs, name) for name in SIMULATION),
        "client": 1e3 * _used(first, last, "client") / frames,
    }
    seconds = (last.time_ns - first.time_ns) / 1e9
    costs["eyes"] = 1e3 * _used(first, last, "hmd_capture") / seconds / REFERENCE_FPS
    return {name: round(max(0.0, cost), 3) for name, cost in costs.items()}


def cores(recording: Recording) -> dict[str, float]:
    """Mean cores kept busy, by process; `others` are all programs that are not ours."""
    ends = _ends(recording.steady)
    if ends is None:
        return {}
    first, last = ends
    seconds = (last.time_ns - first.time_ns) / 1e9
    found = {name: _used(first, last, name) / seconds for name in last.processes}
    if first.busy_s is not None and last.busy_s is not None:
        machine = (last.busy_s - first.busy_s) / seconds
        found["others"] = max(0.0, machine - sum(found.values()))
    return {name: round(value, 3) for name, value in found.items()}


def thread_cores(recording: Recording, spans: Iterable[ProcessSpans]) -> dict[str, float]:
    """Mean cores kept busy by each named thread, as "edge/camera"; unnamed ones together."""
    ends = _ends(recording.steady)
    if ends is None:
        return {}
    first, last = ends
    seconds = (last.time_ns - first.time_ns) / 1e9
    found: dict[str, float] = {}
    for each in spans:
        for name, used in _named_threads(each, recording.steady).items():
            found[f"{each.process}/{name}"] = round(used / seconds, 3)
    return found


def _stages(
    process: ProcessSpans, begin_ns: int, end_ns: int
) -> tuple[dict[str, float], dict[str, int]]:
    """CPU ms that the stages' own threads spent in each stage, and how often each ran."""
    used: dict[str, float] = {}
    runs: dict[str, int] = {}
    for span in process.spans:
        if begin_ns <= span.end_ns <= end_ns:
            used[span.name] = used.get(span.name, 0.0) + span.cpu_ns / 1e6
            runs[span.name] = runs.get(span.name, 0) + 1
    return used, runs


def _each(stages: Mapping[str, float], runs: Mapping[str, int], name: str) -> float:
    return stages[name] / runs[name] if name in stages else 0.0


def _named_threads(process: ProcessSpans, samples: Sequence[Sample]) -> dict[str, float]:
    """CPU seconds by thread name; one that began or ended meanwhile counts while it was there."""
    usages = [s.processes[process.process] for s in samples if process.process in s.processes]
    before = usages[0].threads_cpu_s if usages else {}
    after: dict[int, float] = {}
    for usage in usages:
        after.update(usage.threads_cpu_s)
    found: dict[str, float] = {}
    for thread_id, cpu_s in after.items():
        name = thread_label(process.threads.get(thread_id, "other threads"))
        found[name] = found.get(name, 0.0) + cpu_s - before.get(thread_id, 0.0)
    return found


def _ends(samples: Sequence[Sample]) -> tuple[Sample, Sample] | None:
    if len(samples) < 2 or samples[-1].time_ns <= samples[0].time_ns:
        return None
    return samples[0], samples[-1]


def _used(first: Sample, last: Sample, process: str) -> float:
    """CPU seconds; a process that was started again meanwhile counts from its beginning."""
    before, after = first.processes.get(process), last.processes.get(process)
    if after is None:
        return 0.0
    return after.cpu_s - (before.cpu_s if before and before.cpu_s <= after.cpu_s else 0.0)
