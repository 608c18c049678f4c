"""What profiling itself costs the product: the spans that it keeps, at the price of one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from edge.timing import StageTimes
from streaming.spans import ProcessSpans, SpanRecorder

RUNS, ROUNDS = 500, 5
PRODUCT = ("network", "tracker", "rest", "eyes")  # of `edge.profiler.core_time.core_ms`


def overhead(
    spans: Mapping[str, ProcessSpans], costs: Mapping[str, float], us_per_span: float
) -> dict[str, float]:
    """Spans per frame, µs for each, and the share (0..1) of the product's core time `costs`, ms.

    The client and the sensors are programs beside the product: `client` in `costs` is theirs.
    Empty where nothing ran.
    """
    edge = spans.get("edge")
    frames = 0 if edge is None else sum(span.name == "publish" for span in edge.spans)
    product_ms = sum(costs.get(name, 0.0) for name in PRODUCT)
    if not frames or product_ms <= 0:
        return {}
    per_frame = sum(len(process.spans) for process in spans.values()) / frames
    return {
        "spans_per_frame": round(per_frame, 2),
        "us_per_span": round(us_per_span, 3),
        "share": round(per_frame * us_per_span / 1e3 / product_ms, 5),
    }


def measured_us_per_span() -> float:
    """What a stage takes longer on this machine when its span is kept, in µs."""
    kept = StageTimes(spans=SpanRecorder(RUNS))
    plain = StageTimes()
    found = [(_us_per_stage(kept), _us_per_stage(plain)) for _ in range(ROUNDS)]  # in turns
    return max(0.0, min(one for one, _ in found) - min(other for _, other in found))


def _us_per_stage(times: StageTimes) -> float:
    begin_ns = time.thread_time_ns()
    for _ in range(RUNS):
        with times.measure("empty"):
            pass
    return (time.thread_time_ns() - begin_ns) / RUNS / 1e3
