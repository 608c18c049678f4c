"""What `unvisor profile` found, as one plain tree for JSON; docs/INTERFACES.md names its keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edge.profiler.core_time import core_ms, cores, thread_cores
from edge.profiler.machine import machine_facts
from edge.profiler.overhead import measured_us_per_span, overhead
from edge.profiler.recorder import Arrival, Recording
from edge.timing import PERCENTILES
from streaming.spans import ProcessSpans

Tree = dict[str, Any]


def result_tree(
    timing: Mapping[str, Any], recording: Recording, spans: Mapping[str, ProcessSpans]
) -> Tree:
    """The timing JSON of the runs, with what the recorder and the spans add."""
    costs = core_ms(recording, spans)
    return {
        **timing,
        "stages_ms": {**timing["stages_ms"], **_eye_stages(spans.get("hmd_capture"))},
        "age_parts_ms": age_parts_ms(recording.arrivals, spans.get("edge")),
        "core_ms": costs,
        "profiling": overhead(spans, costs, measured_us_per_span()),
        "cores": cores(recording),
        "thread_cores": thread_cores(recording, spans.values()),
        "process_rss_mib": _memory(recording),
        "readings": _readings(recording),
        "sensors": list(recording.sensors),
        "power_mode": recording.power_mode,
        "machine": machine_facts(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def age_parts_ms(arrivals: Iterable[Arrival], edge: ProcessSpans | None) -> dict[str, Tree]:
    """Where a frame's age at the client comes from: percentiles of its four consecutive parts.

    `wait` until the pipeline begins with it (decoding and simulation included), `pipeline` until
    it is ready to be sent, `encode` until it is encoded, `transport` until the client has it.
    Percentiles do not add up; means do, hence `mean`.
    """
    begun, ready = _starts(edge, "track"), _starts(edge, "publish")
    rows = [
        (
            begun[seen.frame_id] - seen.capture_ns,
            ready[seen.frame_id] - begun[seen.frame_id],
            seen.publish_ns - ready[seen.frame_id],
            seen.arrival_ns - seen.publish_ns,
        )
        for seen in arrivals
        if seen.frame_id in begun and seen.frame_id in ready
    ]
    if not rows:
        return {}
    columns = np.array(rows, np.float64).T / 1e6
    names = ("wait", "pipeline", "encode", "transport")
    return {name: summary(column) for name, column in zip(names, columns, strict=True)}


def summary(values: np.ndarray[Any, np.dtype[np.float64]]) -> Tree:
    """Mean, p50, p95, p99 and max of some numbers; empty without any."""
    if not len(values):
        return {}
    points = np.percentile(values, list(PERCENTILES.values()))
    found = {"mean": float(np.mean(values)), **dict(zip(PERCENTILES, points, strict=True))}
    return {name: round(float(value), 3) for name, value in found.items()}


def stage_means_ms(process: ProcessSpans | None) -> dict[str, float]:
    """Mean ms of each stage that a process recorded, in the order of their first ends."""
    if process is None:
        return {}
    spent: dict[str, list[int]] = {}
    for span in process.spans:
        spent.setdefault(span.name, []).append(span.end_ns - span.start_ns)
    return {name: float(np.mean(values)) / 1e6 for name, values in spent.items()}


def _eye_stages(eyes: ProcessSpans | None) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for name in ("read eye", "publish eye"):
        spans = () if eyes is None else eyes.spans
        values = np.array([s.end_ns - s.start_ns for s in spans if s.name == name], np.float64)
        if len(values):
            found[name] = {k: v for k, v in summary(values / 1e6).items() if k != "mean"}
    return found


def _starts(edge: ProcessSpans | None, stage: str) -> dict[int, int]:
    """When each frame entered a stage."""
    spans = () if edge is None else edge.spans
    return {span.frame_id: span.start_ns for span in spans if span.name == stage}


def _memory(recording: Recording) -> dict[str, float]:
    if not recording.samples:
        return {}
    last = (recording.steady or recording.samples)[-1].processes
    return {name: round(usage.rss_mib, 1) for name, usage in last.items()}


def _readings(recording: Recording) -> dict[str, Tree]:
    values: dict[str, list[float]] = {}
    for sample in recording.samples:
        for name, value in sample.readings.items():
            values.setdefault(name, []).append(value)
    return {name: summary(np.array(found, np.float64)) for name, found in values.items()}
