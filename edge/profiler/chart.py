"""One picture of a run: stages, age at the client, core time and load, with units and legends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.profiler.chart_panels import (
    show_age_histogram,
    show_age_line,
    show_core_time,
    show_load,
    show_percentiles,
    show_stages,
)
from edge.profiler.recorder import Recording
from streaming.spans import ProcessSpans

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_INCHES, DPI = (15.0, 11.5), 100
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def write_chart(
    path: Path,
    result: Mapping[str, Any],
    recording: Recording,
    spans: Mapping[str, ProcessSpans],
) -> None:
    """Draw the PNG."""
    # Not at the top: the library takes a second to load, and only this file needs it.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=SIZE_INCHES, dpi=DPI)
        _fill(figure, result, recording, spans)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
        pyplot.close(figure)


def _fill(
    figure: Figure,
    result: Mapping[str, Any],
    recording: Recording,
    spans: Mapping[str, ProcessSpans],
) -> None:
    panels = figure.subplots(3, 2, width_ratios=[1.15, 1.0], height_ratios=[1.2, 1.0, 1.0])
    show_stages(panels[0, 0], spans, _period_ms(recording))
    show_percentiles(panels[0, 1], result["stages_ms"])
    show_age_histogram(panels[1, 0], recording.arrivals)
    show_age_line(panels[1, 1], recording.arrivals)
    show_core_time(panels[2, 0], result.get("core_ms", {}), result.get("budget"))
    show_load(panels[2, 1], recording)
    figure.suptitle(_headline(result), x=0.012, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.012, 0.951, _details(result), fontsize=10, color="0.35", va="top")
    figure.subplots_adjust(0.085, 0.05, 0.985, 0.9, wspace=0.2, hspace=0.54)


def _period_ms(recording: Recording) -> float | None:
    """Time between the source's frames, from what arrived."""
    times = np.array([seen.capture_ns for seen in recording.arrivals], np.float64)
    ids = np.array([seen.frame_id for seen in recording.arrivals], np.float64)
    if len(ids) < 2 or ids[-1] <= ids[0]:
        return None
    return float((times[-1] - times[0]) / (ids[-1] - ids[0]) / 1e6)


def _headline(result: Mapping[str, Any]) -> str:
    words = [f"{result['fps']:.1f} fps", f"{result['drops']} of {_total(result)} frames dropped"]
    if result.get("capacity_fps"):
        words.insert(1, f"capacity {result['capacity_fps']:.1f} fps")
    if result["age_ms"]:
        words.append(f"age p50 {result['age_ms']['p50']:.0f} ms, p99 {result['age_ms']['p99']:.0f}")
    return "unvisor profile:  " + "  ·  ".join(words)


def _details(result: Mapping[str, Any]) -> str:
    others = result["cores"].get("others")
    words = [
        result["machine"]["board"] or result["device"],
        f"filler {result['filler']}, landmarks {result['landmarks']}, {result['size_px']} px",
        f"power mode: {result['power_mode']}" if result["power_mode"] else "",
        f"other programs kept {others:.2f} cores busy" if others is not None else "",
    ]
    return "   ·   ".join(word for word in words if word)


def _total(result: Mapping[str, Any]) -> int:
    return int(result["frames"]) + int(result["drops"])
