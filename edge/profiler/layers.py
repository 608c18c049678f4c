"""How long each layer of a network takes, by onnxruntime's own profiler on the CPU.

The layers are timed in runs of their own, on zeros: a layer's time does not depend on what it sees,
and the profiler's cost stays out of the session's figures.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.engine.onnx import empty_feed, session_options

RUNS = 40
WARM_UP = 5  # the first runs allocate
SHOWN = 12


@dataclass(frozen=True)
class Layer:
    """One node of the graph, as onnxruntime runs it (fused with its neighbours, perhaps)."""

    name: str
    kind: str  # operator, such as Conv
    mean_ms: float  # per run
    share: float  # of all layers, 0..1


def layer_times(network: Path, threads: int, runs: int = RUNS) -> list[Layer]:
    """Time every layer of an ONNX file, the slowest first."""
    options = session_options(threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory(prefix="unvisor-layers-") as folder:
        options.profile_file_prefix = str(Path(folder) / "layers")
        session = onnxruntime.InferenceSession(
            str(network), options, providers=["CPUExecutionProvider"]
        )
        feed = empty_feed(session)
        for _ in range(runs + WARM_UP):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return summarise(events)


def summarise(events: Iterable[Mapping[str, Any]]) -> list[Layer]:
    """Layers out of onnxruntime's trace events; the first runs are left out."""
    spent: dict[tuple[str, str], list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            kind = str(event.get("args", {}).get("op_name", ""))
            key = (name.removesuffix("_kernel_time"), kind)
            spent.setdefault(key, []).append(float(event["dur"]) / 1e3)
    kept = {key: times[WARM_UP:] or times for key, times in spent.items()}
    means = {key: float(np.mean(times)) for key, times in kept.items()}
    total = sum(means.values()) or 1.0
    layers = [Layer(*key, round(mean, 4), round(mean / total, 4)) for key, mean in means.items()]
    return sorted(layers, key=lambda layer: -layer.mean_ms)
