"""`unvisor bench-engines`: which runtime is quicker on this machine, as ratios of one run."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from edge.engine_bench.runtimes import RUNTIMES, Step
from edge.engine_bench.subjects import Subject, subjects
from edge.profiler.machine import machine_facts
from streaming.errors import UserError

WARM_UP = 5
WORTH = 1.2  # a runtime is worth offering from this advantage on


def bench_engines(
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="Cores of a step; repeat it. Default 1 and 2.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Steps of each network, in turns.")] = 60,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures.")] = None,
) -> None:
    """Time the networks in onnxruntime and OpenVINO in turns, float and INT8."""
    if json_file is not None and not json_file.parent.is_dir():
        raise UserError(f"There is no folder {json_file.parent}.", "Create it, or name another.")
    console = Console()
    runtimes = tuple(name for name in RUNTIMES if importlib.util.find_spec(name))
    if "openvino" not in runtimes:
        console.print("OpenVINO is not here; `pip install openvino` lets it take part.")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="unvisor-bench-") as folder:
        chosen = subjects(Path(folder), runtimes)
        for count in threads or [1, 2]:
            rows += with_ratios(measure(chosen, count, rounds))
    console.print(table_of(rows))
    tree = {"machine": machine_facts(), "load_average": os.getloadavg(), "steps": rows}
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"Cannot write {json_file}: {error.strerror}.", "Name another file."
            ) from error


def measure(chosen: list[Subject], threads: int, rounds: int) -> list[dict[str, Any]]:
    """Median and least ms of a step of each, in turns so that all meet the same machine."""
    steps = {subject: _opened(subject, threads) for subject in chosen}
    spent: dict[Subject, list[float]] = {subject: [] for subject in chosen}
    for index in range(rounds + WARM_UP):
        for subject, step in steps.items():
            start = time.perf_counter()
            step()
            if index >= WARM_UP:
                spent[subject].append((time.perf_counter() - start) * 1e3)
    return [
        {
            "network": subject.network,
            "precision": subject.precision,
            "runtime": subject.runtime,
            "threads": threads,
            "median_ms": round(float(np.median(times)), 3),
            "least_ms": round(min(times), 3),
        }
        for subject, times in spent.items()
    ]


def with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with `times_float`: how often it is as fast as onnxruntime in float; by least times.

    `times_onnxruntime` compares with onnxruntime at the same precision. The least of many runs in
    turns is what other programs disturb the least.
    """
    least = {(r["network"], r["precision"], r["runtime"]): r["least_ms"] for r in rows}

    def ratio(row: Mapping[str, Any], precision: str) -> float:
        base = least[row["network"], precision, "onnxruntime"]
        return float(round(base / row["least_ms"], 3))

    return [
        {**r, "times_float": ratio(r, "fp32"), "times_onnxruntime": ratio(r, r["precision"])}
        for r in rows
    ]


def table_of(rows: list[dict[str, Any]]) -> Table:
    """On the terminal; advantages worth a runtime of its own are bold."""
    table = Table(box=None, padding=(0, 2))
    for index, name in enumerate(
        ("step", "cores", "median ms", "least ms", "× float", "× onnxruntime")
    ):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        gain = f"{row['times_onnxruntime']:.2f}"
        table.add_row(
            f"{row['network']} {row['precision']} {row['runtime']}",
            str(row["threads"]),
            f"{row['median_ms']:.2f}",
            f"{row['least_ms']:.2f}",
            f"{row['times_float']:.2f}",
            f"[bold]{gain}[/bold]" if row["times_onnxruntime"] >= WORTH else gain,
        )
    return table


def _opened(subject: Subject, threads: int) -> Step:
    try:
        return RUNTIMES[subject.runtime](subject.path, threads)
    except RuntimeError as error:
        raise UserError(
            f"{subject.runtime} cannot read {subject.path.name}: {error}",
            "Measure without it: uninstall it, or update it.",
        ) from error
