"""`unvisor architectures`: a table of every recipe's network, what it holds and what it costs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming.errors import UserError
from training.recipes.loader import load_recipe, recipe_names
from training.recipes.schema import NetworkChoice
from training.reports import scores as score_report
from training.sizes.measure import NetworkSize, measure

HEADINGS = ("network", "sees", "recipes", "M params", "GMAC", "k states", "CPU ms")


def architectures(
    recipe: Annotated[
        list[str] | None, typer.Option(help="Repeat for several; default: all that there are.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change of each recipe, as in network.settings.width=32."),
    ] = None,
    timed: Annotated[bool, typer.Option(help="Time a frame, too.")] = True,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the timed runs.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """Tell parameters, multiplications and CPU time per frame of the recipes' networks.

    Recipes with the same network share a row. Times are those of untrained weights, which cost the
    same; networks that look ahead are timed in torch on a clip, the others in onnxruntime.
    """
    rows = network_sizes(recipe or recipe_names(), change or (), timed=timed, threads=threads)
    table = Table(*HEADINGS, title=f"per frame, {threads} thread(s)")
    for cells in _lines(rows):
        table.add_row(*cells)
    Console().print(table)
    if json_file is not None:
        document = [{"recipes": names, **asdict(size)} for names, size in rows]
        score_report.write_json(json_file, {"threads": threads, "networks": document})
    if markdown is not None:
        score_report.write_text(markdown, _markdown(rows))


def network_sizes(
    names: Iterable[str], changes: Iterable[str] = (), *, timed: bool = True, threads: int = 1
) -> list[tuple[list[str], NetworkSize]]:
    """Each different network of the recipes `names`, with the recipes that train it.

    Raises:
        UserError: an unknown recipe, or a network that cannot be built from one.
    """
    users: dict[str, tuple[NetworkChoice, list[str]]] = {}
    for name in names:
        network = load_recipe(name, changes).network
        users.setdefault(repr(network), (network, []))[1].append(name)
    rows = []
    for network, recipes in track(list(users.values()), "measuring", transient=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter's, of its own age
                rows.append((recipes, _rounded(measure(network, timed=timed, threads=threads))))
        except ValueError as error:
            raise UserError(f"The network of '{recipes[0]}' cannot be built: {error}.") from error
    return rows


def _rounded(size: NetworkSize) -> NetworkSize:
    """Times without digits that no run repeats."""
    return replace(size, cpu_ms=None if size.cpu_ms is None else round(size.cpu_ms, 1))


def _lines(rows: list[tuple[list[str], NetworkSize]]) -> list[list[str]]:
    return [
        [
            f"{size.architecture}, w {size.width}, {size.size_px} px",
            _sees(size),
            ", ".join(names),
            f"{size.parameters / 1e6:.2f}",
            f"{size.giga_macs:.2f}",
            f"{size.state_values / 1e3:.0f}",
            "" if size.cpu_ms is None else f"{size.cpu_ms:.1f}",
        ]
        for names, size in rows
    ]


def _sees(size: NetworkSize) -> str:
    if not size.is_online:
        return "whole clips"
    return "the past" if size.state_values else "its frame"


def _markdown(rows: list[tuple[list[str], NetworkSize]]) -> str:
    lines = [list(HEADINGS), [*["---"] * 3, *["---:"] * (len(HEADINGS) - 3)], *_lines(rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
