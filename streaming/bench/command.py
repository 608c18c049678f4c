"""`unvisor bench-stream`: the delay that streaming adds on this machine, to real processes."""

from __future__ import annotations

import json as json_module
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from streaming.bench.measure import FRESH_MS, Load, measure_crowd, measure_delay, measure_stall
from streaming.errors import UserError

CROP = Load("frame.face", 256, 256, 60.0)
WHOLE = Load("frame.world", 1280, 720, 60.0)
VIDEO = Load("h264.world", 1280, 720, 60.0)
RAW = Load("bgr.world", 1280, 720, 60.0)
STALL_S = 3.0
CROWD = 20
MAX_SLOWDOWN = 1.5  # of the others' p99, when one client of the crowd stands still

Figures = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One measurement and what is aimed at."""

    name: str
    what: str
    measure: Callable[[float], Figures]  # given seconds
    aims: dict[str, float]  # at most, by figure


CASES = (
    Case(
        "face-256",
        "256² crop, JPEG",
        lambda seconds: measure_delay(CROP, seconds),
        {"arrival_p50_ms": 3.0, "arrival_p99_ms": 10.0},
    ),
    Case(
        "world-720p",
        "720p, JPEG",
        lambda seconds: measure_delay(WHOLE, seconds),
        {"arrival_p50_ms": 12.0},
    ),
    Case("h264-720p", "720p, H.264", lambda seconds: measure_delay(VIDEO, seconds), {}),
    Case("bgr-720p", "720p, not compressed", lambda seconds: measure_delay(RAW, seconds), {}),
    Case(
        "stall-face",
        f"256² crop after {STALL_S:g} s of standing still",
        lambda _: measure_stall(CROP, STALL_S),
        {"oldest_age_ms": FRESH_MS},
    ),
    Case(
        "stall-world",
        f"720p after {STALL_S:g} s of standing still",
        lambda _: measure_stall(WHOLE, STALL_S),
        {"oldest_age_ms": FRESH_MS},
    ),
    Case(
        "stall-h264",
        f"H.264 after {STALL_S:g} s of standing still",
        lambda _: measure_stall(VIDEO, STALL_S),
        {"oldest_age_ms": FRESH_MS},
    ),
    Case(
        "crowd",
        f"{CROWD} clients, one standing still",
        lambda seconds: measure_crowd(CROP, seconds, CROWD),
        {"slowdown": MAX_SLOWDOWN},
    ),
)


def bench_stream(
    seconds: Annotated[float, typer.Option(min=1.0, help="Measured seconds of each case.")] = 10.0,
    only: Annotated[
        list[str] | None, typer.Option("--case", help="Only this case; may be repeated.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to FILE.")] = None,
) -> None:
    """Measure how old pictures are when client processes on this machine get them.

    "Arrival" is from the capture to the client's receiving thread, encoding included; "shown" has
    decoding too. Figures are of this machine as busy as it is: its load is written beside them.
    """
    cases = _chosen(only or [])
    if json is not None and not json.resolve().parent.is_dir():  # said before the long wait
        raise UserError(f"There is no folder {json.parent}.", "Make it first.")
    console = Console()
    results: dict[str, dict[str, object]] = {}
    for case in cases:
        with console.status(f"measuring: {case.what}"):
            figures = case.measure(seconds)
        missed = [name for name, aim in case.aims.items() if figures[name] > aim]
        results[case.name] = {"figures": figures, "aims": case.aims, "missed": missed}
    console.print(_table(cases, results))
    if json is not None:
        _write(json, {"seconds": seconds, **_machine(), "cases": results})


def _chosen(names: list[str]) -> list[Case]:
    known = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"There is no case {unknown[0]!r}.", f"Known: {', '.join(known)}.")
    return [known[name] for name in names] or list(CASES)


def _table(cases: list[Case], results: dict[str, dict[str, object]]) -> Table:
    table = Table("case", "figure", "found", "aim", "")
    for case in cases:
        figures = results[case.name]["figures"]
        assert isinstance(figures, dict)
        for number, (name, value) in enumerate(figures.items()):
            aim = case.aims.get(name)
            verdict = "" if aim is None else ("met" if value <= aim else "MISSED")
            limit = "" if aim is None else f"≤ {aim:g}"
            table.add_row("" if number else case.what, name, f"{value:g}", limit, verdict)
        table.add_section()
    return table


def _machine() -> dict[str, object]:
    return {
        "machine": f"{os.cpu_count()} × {platform.machine()}",
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "loads": {load.topic: asdict(load) for load in (CROP, WHOLE, VIDEO, RAW)},
    }


def _write(path: Path, results: dict[str, object]) -> None:
    try:
        path.write_text(json_module.dumps(results, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        next_step = "Name a file in a folder that exists."
        raise UserError(f"Cannot write {path}: {error.strerror}.", next_step) from error
