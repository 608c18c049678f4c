"""Results on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.profiler.comparison import Change
from edge.profiler.layers import SHOWN, Layer
from edge.profiler.stage_order import PARTS_OF, sorted_stages

POINTS = ("p50", "p95", "p99", "max")
CORE_NOTES = {
    "network": "the network, its helper threads included",
    "tracker": "headset and face",
    "rest": "decode, warp, composite, JPEG, publish",
    "eyes": "hmd_capture, per 1/30 s",
    "simulation": "the simulated headset: not part of the product",
    "client": "the measuring client: not part of the product",
}
MARKS = {True: "[green]pass[/green]", False: "[red]FAIL[/red]", None: "[dim]not measured[/dim]"}


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Everything that fits a terminal."""
    console.print(_stage_table(result))
    if result.get("core_ms"):
        console.print(_core_table(result))
    console.print(_overview(result))
    if result.get("budget"):
        console.print(_budget_table(result["budget"]))


def print_layers(console: Console, name: str, layers: Sequence[Layer]) -> None:
    """The slowest layers of one network."""
    total = sum(layer.mean_ms for layer in layers)
    title = f"{name}: {total:.1f} ms in {len(layers)} layers, the slowest {SHOWN}"
    table = _table(title, "layer", "operator", "ms", "share")
    for layer in layers[:SHOWN]:
        table.add_row(layer.name, layer.kind, f"{layer.mean_ms:.3f}", f"{layer.share:.0%}")
    console.print(table)


def print_changes(console: Console, changes: Sequence[Change], failed: Sequence[Change]) -> None:
    """Two results side by side."""
    table = _table("ratio: above 1 = slower or dearer", "", "before", "after", "ratio", "")
    for change in changes:
        mark = {"slower": "[red]slower[/red]", "faster": "[green]faster[/green]", "": ""}
        word = "[bold red]FAIL[/bold red]" if change in failed else mark[change.verdict]
        numbers = (f"{change.before:.2f}", f"{change.after:.2f}", f"{change.slowdown:.2f}")
        table.add_row(change.key, *numbers, word)
    console.print(table)


def _stage_table(result: Mapping[str, Any]) -> Table:
    table = _table("stages, ms", "", *POINTS)
    for name in sorted_stages(result["stages_ms"]):
        points = result["stages_ms"][name]
        label = f"  of it {name}" if name in PARTS_OF else name
        table.add_row(label, *(f"{points[p]:.2f}" if p in points else "" for p in POINTS))
    for name, points in result.get("age_parts_ms", {}).items():
        label = f"[dim]age: {name}[/dim]"
        table.add_row(label, *(f"{points[p]:.2f}" for p in POINTS))
    ages = result["age_ms"]
    if ages:
        numbers = [f"[bold]{ages[p]:.1f}[/bold]" if p in ages else "" for p in POINTS]
        table.add_row("[bold]age at the client[/bold]", *numbers)
    return table


def _core_table(result: Mapping[str, Any]) -> Table:
    table = _table("core time per frame, core-ms", "", "mean", "")
    for name, note in CORE_NOTES.items():
        if name in result["core_ms"]:
            table.add_row(name, f"{result['core_ms'][name]:.2f}", f"[dim]{note}[/dim]")
    return table


def _overview(result: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    capacity = result.get("capacity_fps")
    speed = f"{result['frames']} frames at {result['fps']:.1f} fps, {result['drops']} dropped"
    cores = ", ".join(f"{name} {value:.2f}" for name, value in result["cores"].items())
    memory = ", ".join(f"{n} {v:.0f} MiB" for n, v in result["process_rss_mib"].items())
    own = result.get("profiling", {}).get("share")
    readings = ", ".join(f"{n} {v['mean']:.1f}" for n, v in result["readings"].items())
    rows = {
        "speed": speed + (f"; capacity {capacity:.1f} fps" if capacity else ""),
        "cores busy": cores,
        "profiling": "" if own is None else f"{100 * own:.2f} % of the product's core time",
        "memory": memory,
        "sensors": readings,
        "power mode": result["power_mode"],
        "machine": f"{result['machine']['board']} {result['device']}".strip(),
        "made with": f"filler {result['filler']}, landmarks {result['landmarks']}",
        "network": result.get("network", ""),
        "engines": ", ".join(f"{n} {e}" for n, e in result.get("engines", {}).items()),
    }
    for name, text in rows.items():
        if text:
            table.add_row(f"[dim]{name}[/dim]", text)
    return table


def _budget_table(budget: Mapping[str, Any]) -> Table:
    table = _table(f"budget {budget['name']}: {budget['about']}", "", "value", "limit", "", "")
    for line in budget["lines"]:
        value = "" if line["value"] is None else f"{line['value']:.1f}"
        origin = f"[dim]{line['origin']}[/dim]"
        table.add_row(line["key"], value, line["limit"], MARKS[line["is_held"]], origin)
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table
