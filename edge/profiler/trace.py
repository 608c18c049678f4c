"""A time line for https://ui.perfetto.dev or chrome://tracing: every stage of every frame.

The format is Chrome's trace events as JSON, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
("Trace Event Format"): `X` complete events, `M` names, `C` counters, `b`/`e` the life of a frame
from the camera to the client, `i` instants. Times are microseconds from the earliest one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.profiler.recorder import Recording
from streaming.spans import NO_FRAME, ProcessSpans

Event = dict[str, Any]
CLIENT_THREAD = 1
# The order of the tracks follows a frame's way.
PROCESS_ORDER = {"hmd_capture": 0, "edge": 1, "client": 2}
THREAD_NAMES = {"MainThread": "pipeline"}
THREAD_ORDER = {"camera": 0, "tracking": 1, "preparing": 2, "pipeline": 3}


def trace_events(recording: Recording, spans: Iterable[ProcessSpans]) -> list[Event]:
    """All events of a run, names first."""
    processes = list(spans)
    origin_ns = _origin(recording, processes)
    client_id = recording.process_ids.get("client", 0)
    events = [event for process in processes for event in _names(process)]
    events += _process_name(client_id, "client (measuring)", PROCESS_ORDER["client"])
    events.append(_meta("thread_name", client_id, CLIENT_THREAD, name="arrivals"))
    for process in processes:
        events += _work(process, origin_ns)
    edge_id = recording.process_ids.get("edge", client_id)
    events += _lives(recording, edge_id, client_id, origin_ns)
    return events + _counters(recording, origin_ns)


def write_trace(path: Path, events: list[Event]) -> None:
    """Write the file that Perfetto opens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = {"displayTimeUnit": "ms", "traceEvents": events}
    path.write_text(json.dumps(tree, separators=(",", ":")), encoding="utf-8")


def thread_label(name: str) -> str:
    """How a thread is called in results."""
    return THREAD_NAMES.get(name, name)


def _names(process: ProcessSpans) -> list[Event]:
    order = PROCESS_ORDER.get(process.process, 9)
    events = _process_name(process.process_id, process.process, order)
    used = {span.thread_id for span in process.spans}
    for thread_id in sorted(used):
        name = thread_label(process.threads.get(thread_id, f"thread {thread_id}"))
        index = THREAD_ORDER.get(name, 9)
        events.append(_meta("thread_name", process.process_id, thread_id, name=name))
        events.append(_meta("thread_sort_index", process.process_id, thread_id, sort_index=index))
    return events


def _process_name(process_id: int, name: str, order: int) -> list[Event]:
    return [
        _meta("process_name", process_id, 0, name=name),
        _meta("process_sort_index", process_id, 0, sort_index=order),
    ]


def _meta(kind: str, process_id: int, thread_id: int, **arguments: Any) -> Event:
    return {"ph": "M", "name": kind, "pid": process_id, "tid": thread_id, "args": arguments}


def _work(process: ProcessSpans, origin_ns: int) -> list[Event]:
    events = []
    for span in process.spans:
        arguments: dict[str, Any] = {"cpu_ms": round(span.cpu_ns / 1e6, 3)}
        if span.frame_id != NO_FRAME:
            arguments["frame"] = span.frame_id
        event = {
            "ph": "X",
            "name": span.name,
            "cat": "stage",
            "pid": process.process_id,
            "tid": span.thread_id,
            "ts": _us(span.start_ns - origin_ns),
            "dur": _us(span.end_ns - span.start_ns),
            "args": arguments,
        }
        events.append(event)
    return events


def _lives(recording: Recording, edge_id: int, client_id: int, origin_ns: int) -> list[Event]:
    """Each frame from its capture to its arrival, and the arrival itself."""
    events: list[Event] = []
    for seen in recording.arrivals:
        life = {
            "name": "frame, camera to client",
            "cat": "frame",
            "id": seen.frame_id,
            "pid": edge_id,
            "tid": 0,
        }
        age_ms = round((seen.arrival_ns - seen.capture_ns) / 1e6, 3)
        arguments = {"frame": seen.frame_id, "age_ms": age_ms}
        start_us, end_us = _us(seen.capture_ns - origin_ns), _us(seen.arrival_ns - origin_ns)
        events.append({**life, "ph": "b", "ts": start_us, "args": arguments})
        events.append({**life, "ph": "e", "ts": end_us})
        arrival = {"ph": "i", "s": "t", "name": "arrival", "cat": "client", "ts": end_us}
        events.append({**arrival, "pid": client_id, "tid": CLIENT_THREAD, "args": arguments})
    return events


def _counters(recording: Recording, origin_ns: int) -> list[Event]:
    events: list[Event] = []
    for before, after in itertools.pairwise(recording.samples):
        seconds = (after.time_ns - before.time_ns) / 1e9
        stamp = {"ph": "C", "ts": _us(after.time_ns - origin_ns)}
        for name, usage in after.processes.items():
            earlier = before.processes.get(name)
            if earlier is None or seconds <= 0:
                continue
            number = recording.process_ids[name]
            busy = round(max(0.0, usage.cpu_s - earlier.cpu_s) / seconds, 3)
            events.append({**stamp, "name": "CPU cores", "pid": number, "args": {"cores": busy}})
            memory = {"MiB": round(usage.rss_mib, 1)}
            events.append({**stamp, "name": "memory", "pid": number, "args": memory})
        for name, value in after.readings.items():
            client_id = recording.process_ids["client"]
            events.append({**stamp, "name": name, "pid": client_id, "args": {name: value}})
    return events


def _origin(recording: Recording, processes: Iterable[ProcessSpans]) -> int:
    starts = [span.start_ns for process in processes for span in process.spans]
    starts += [seen.capture_ns for seen in recording.arrivals]
    starts += [sample.time_ns for sample in recording.samples]
    return min(starts, default=0)


def _us(nanoseconds: int) -> float:
    return round(nanoseconds / 1e3, 3)
