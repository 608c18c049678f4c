"""The panels of the chart; each draws into axes that it is given."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.profiler.recorder import Arrival, Recording
from edge.profiler.stage_order import by_thread, colour_of, sorted_stages

if TYPE_CHECKING:
    from matplotlib.axes import Axes

from streaming.spans import ProcessSpans

NEGLIGIBLE_MS = 0.02  # thinner pieces are not seen, so the legend leaves them out
SHOWN_SHARE = 0.07  # of the longest bar: narrower pieces carry no label inside
POINTS = ("p50", "p95", "p99", "max")
PARTS = ("network", "tracker", "rest", "eyes", "simulation", "client")
PART_NOTES = {"eyes": "eyes\n(per 1/30 s)", "client": "client\n(measuring)"}
PROCESS_COLOURS = {
    "edge": "#3b76af",
    "hmd_capture": "#ef8636",
    "client": "#519e3e",
    "others": "#c8c8c8",
}
EXTRA_READINGS = ("power_w", "cpu_power_w", "temperature_c", "gpu_percent")


def show_stages(axes: Axes, spans: Mapping[str, ProcessSpans], period_ms: float | None) -> None:
    """One stacked bar per thread: the mean of its stages, in their order."""
    rows = by_thread(spans)
    longest = max([period_ms or 0.0, *(sum(means.values()) for _, means in rows)], default=1.0)
    labelled: set[str] = set()
    for row, (_, means) in enumerate(rows):
        left = 0.0
        for stage, mean in means.items():
            label = None if stage in labelled or mean < NEGLIGIBLE_MS else stage
            labelled.add(stage)
            axes.barh(row, mean, left=left, color=colour_of(stage), label=label, height=0.62)
            if mean > SHOWN_SHARE * longest:
                axes.text(left + mean / 2, row, f"{mean:.1f}", ha="center", va="center")
            left += mean
        axes.text(left + 0.008 * longest, row, f"Σ {left:.1f} ms", va="center", color="0.3")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if period_ms:
        label = f"next frame, {period_ms:.1f} ms"
        axes.axvline(period_ms, color="crimson", linestyle="--", linewidth=1.2, label=label)
    axes.set_xlim(0, longest * 1.16)
    axes.set_xlabel("ms per frame, mean")
    axes.set_title("A frame's stages, by thread (threads run side by side)")
    axes.legend(ncols=7, fontsize=8.5, loc="upper left", bbox_to_anchor=(-0.13, -0.15))


def show_percentiles(axes: Axes, stages_ms: Mapping[str, Mapping[str, float]]) -> None:
    """Each stage: a bar to p50, a line on to p99, a tick at the maximum."""
    names = [name for name in sorted_stages(stages_ms) if stages_ms[name]]
    points = {p: [stages_ms[name][p] for name in names] for p in POINTS}
    rows = np.arange(len(names))
    axes.barh(rows, points["p50"], color=[colour_of(name) for name in names], label="p50")
    axes.hlines(rows, points["p50"], points["p99"], color="0.35", linewidth=1.5)
    axes.plot(points["p95"], rows, "|", color="0.35", markersize=9, label="p95")
    axes.plot(points["p99"], rows, "o", color="0.2", markersize=4, label="p99")
    axes.plot(points["max"], rows, "x", color="crimson", markersize=5, label="max")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xscale("symlog", linthresh=10)
    ticks = [0, 2, 4, 6, 8, 10, 20, 50, 100, 200, 500, 1000]
    highest = max(points["max"], default=10.0)
    axes.set_xticks([t for t in ticks if t <= 1.6 * highest])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlim(0, max(10.0, highest * 1.15))
    axes.set_xlabel("ms (linear up to 10, then logarithmic)")
    axes.set_title("Percentiles of each stage")
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: POINTS.index(labels[index]))
    sorted_handles = [handles[i] for i in order]
    axes.legend(sorted_handles, [labels[i] for i in order], loc="lower right", fontsize=9)


def show_age_histogram(axes: Axes, arrivals: Sequence[Arrival]) -> None:
    """How old frames are when the client has them."""
    axes.set_title("Age at the client: from the camera to the subscriber")
    axes.set_xlabel("age, ms")
    axes.set_ylabel("frames")
    ages = _ages_ms(arrivals)
    if not len(ages):
        return
    p50, p99 = np.percentile(ages, [50, 99])
    axes.hist(ages, bins=80, range=(0, float(ages.max()) * 1.05), color="#3b76af")
    axes.set_xlim(0, float(ages.max()) * 1.05)
    for value, name, colour in ((p50, "p50", "0.2"), (p99, "p99", "crimson")):
        label = f"{name} {value:.1f} ms"
        axes.axvline(float(value), color=colour, linestyle="--", linewidth=1.2, label=label)
    axes.legend(loc="best")


def show_age_line(axes: Axes, arrivals: Sequence[Arrival]) -> None:
    """Age over time, and where frames are missing at the client."""
    axes.set_title("Age at the client over time")
    axes.set_xlabel("s since the first frame")
    axes.set_ylabel("age, ms")
    ages = _ages_ms(arrivals)
    if not len(ages):
        return
    begin_ns = arrivals[0].capture_ns
    seconds = np.array([(seen.capture_ns - begin_ns) / 1e9 for seen in arrivals])
    axes.plot(seconds, ages, color="#3b76af", linewidth=0.8, label="age")
    gaps = np.diff([seen.frame_id for seen in arrivals]) > 1
    if gaps.any():
        label = "frames missing before this one"
        zeros = np.zeros(int(gaps.sum()))
        axes.plot(seconds[1:][gaps], zeros, "|", color="crimson", markersize=9, label=label)
    axes.set_ylim(0, float(ages.max()) * 1.25)  # room for the legend
    axes.set_xlim(0, float(seconds[-1]))
    axes.legend(loc="upper right", ncols=2, fontsize=9)


def show_core_time(
    axes: Axes, core_ms: Mapping[str, float], budget: Mapping[str, Any] | None
) -> None:
    """Core-ms per frame by part, beside the budget's limits."""
    axes.set_title("Core time per frame, helpers' threads included")
    axes.set_ylabel("core-ms")
    names = [name for name in PARTS if name in core_ms]
    values = [core_ms[name] for name in names]
    colours = [{"simulation": "#c8c8c8", "client": "#c8c8c8"}.get(n, "#3b76af") for n in names]
    axes.bar(range(len(names)), values, color=colours, width=0.6)
    limits = _limits(budget)
    for index, name in enumerate(names):
        limit = limits.get(f"core_ms.{name}")
        text = f"{values[index]:.1f}"
        if limit is not None:
            axes.hlines(limit, index - 0.38, index + 0.38, color="crimson")
            text += f" of {limit:g}"
        axes.text(index, max(values[index], limit or 0.0), text, ha="center", va="bottom")
    axes.set_xticks(range(len(names)), [PART_NOTES.get(name, name) for name in names])
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.16)
    if limits:
        axes.plot([], [], color="crimson", label="budget")
        axes.legend(loc="upper right", fontsize=9)


def show_load(axes: Axes, recording: Recording) -> None:
    """Cores kept busy over time, stacked by process; power or temperature where it is told."""
    axes.set_title("Cores kept busy")
    axes.set_xlabel("s since the first frame")
    axes.set_ylabel("cores")
    seconds, columns = _loads(recording)
    if len(seconds) < 2:
        return
    names = [name for name in PROCESS_COLOURS if name in columns]
    colours = [PROCESS_COLOURS[name] for name in names]
    axes.stackplot(seconds, [columns[name] for name in names], labels=names, colors=colours)
    axes.set_xlim(float(seconds[0]), float(seconds[-1]))
    axes.margins(y=0.25)
    axes.legend(loc="upper left", ncols=4, fontsize=9)
    told = [name for name in EXTRA_READINGS if name in recording.steady[-1].readings]
    if told:
        _second_axis(axes, recording, told[0], seconds)


def _second_axis(axes: Axes, recording: Recording, name: str, seconds: Any) -> None:
    other = axes.twinx()
    values = [sample.readings.get(name, np.nan) for sample in recording.steady[1:]]
    other.plot(seconds, values, color="crimson", linewidth=1.2)
    other.set_ylabel(name, color="crimson")
    other.grid(visible=False)


def _loads(recording: Recording) -> tuple[Any, dict[str, list[float]]]:
    samples = recording.steady
    columns: dict[str, list[float]] = {}
    begin_ns = recording.arrivals[0].capture_ns if recording.arrivals else 0
    for before, after in itertools.pairwise(samples):
        span_s = (after.time_ns - before.time_ns) / 1e9
        total = 0.0
        for name in PROCESS_COLOURS:
            old, new = before.processes.get(name), after.processes.get(name)
            busy = max(0.0, new.cpu_s - old.cpu_s) / span_s if old and new else 0.0
            if name != "others":
                columns.setdefault(name, []).append(busy)
                total += busy
        if before.busy_s is not None and after.busy_s is not None:
            rest = max(0.0, (after.busy_s - before.busy_s) / span_s - total)
            columns.setdefault("others", []).append(rest)
    return np.array([(s.time_ns - begin_ns) / 1e9 for s in samples[1:]]), columns


def _ages_ms(arrivals: Sequence[Arrival]) -> Any:
    return np.array([(seen.arrival_ns - seen.capture_ns) / 1e6 for seen in arrivals], np.float64)


def _limits(budget: Mapping[str, Any] | None) -> dict[str, float]:
    lines = (budget or {}).get("lines", [])
    return {
        str(line["key"]): float(str(line["limit"]).split()[1])
        for line in lines
        if str(line["limit"]).startswith("≤")
    }
