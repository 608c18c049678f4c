"""What `unvisor evaluate --protocol eyes` says: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.eyes.evaluation import AIMS, HIGHER_IS_BETTER
from training.reports.scores import write_json, write_text

WORDS = {
    "pupil_error": "pupil's centre: median error over the image's width",
    "pupil_iou": "pupil: intersection over union with the true mask",
    "open_auc": "open against closed: area under the curve",
    "lid_error": "lids: mean distance of the contours over the eye's width",
}


def tell_eyes(document: dict[str, Any], json_file: Path | None, markdown: Path | None) -> None:
    """Print the tables and write the files that were asked for."""
    console = Console()
    console.print(_table(document))
    console.print(f"reading an image: {document['read_ms']['p50']:.2f} ms (median)")
    if json_file is not None:
        write_json(json_file, document)
    if markdown is not None:
        write_text(markdown, _markdown(document))


def _table(document: dict[str, Any]) -> Table:
    table = Table("images of", "count", *AIMS)
    for name, cells in _rows(document):
        table.add_row(name, *cells)
    return table


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    aims = [f"{'≥' if name in HIGHER_IS_BETTER else '≤'} {aim:g}" for name, aim in AIMS.items()]
    yield "aim", ["", *aims]
    yield f"all, {document['split']}", ["", *(_number(document["eyes"][name]) for name in AIMS)]
    parts = {**document["per_source"], **document["per_subject"]}
    if "simulated" in document:
        parts["simulated headset"] = document["simulated"]
    for name, score in parts.items():
        yield name, [str(score["images"]), *(_number(score[aim]) for aim in AIMS)]


def _markdown(document: dict[str, Any]) -> str:
    lines = ["| images of | count | " + " | ".join(WORDS[name] for name in AIMS) + " |"]
    lines.append("|---|---:|" + "---:|" * len(AIMS))
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in _rows(document)]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
