"""Options that the scoring commands share, and their progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.evaluation.evaluate import METHODS
from training.evaluation.run import Advance

WHAT, NETWORKS, OUTPUT = "What is scored", "Networks", "Output"

Split = Annotated[str, typer.Option(help="train, val, test or demo.", rich_help_panel=WHAT)]
Method = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Repeat for several; default: {', '.join(METHODS)} and those of --weights.",
        rich_help_panel=WHAT,
    ),
]
FillerSize = Annotated[
    int, typer.Option(min=32, max=512, help="Crop side, px.", rich_help_panel=WHAT)
]
LimitClips = Annotated[
    int | None,
    typer.Option(min=1, help="Score this many clips, spread over the split.", rich_help_panel=WHAT),
]
LicenceClass = Annotated[
    list[str] | None,
    typer.Option(
        help="Score clips of this licence class of the manifest only; repeat for several.",
        rich_help_panel=WHAT,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=PATH adds a method: an ONNX file with its JSON, or a run folder of `unvisor "
        "train`. A path alone is what `unvisor`, or `eyes`, runs instead of the shipped network.",
        rich_help_panel=NETWORKS,
    ),
]
Threads = Annotated[
    int, typer.Option(min=1, help="Threads of the networks.", rich_help_panel=NETWORKS)
]
HelperWeights = Annotated[
    Path, typer.Option(help="Folder of the networks that measure.", rich_help_panel=NETWORKS)
]


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar on the terminal's error stream; call what it yields with (done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
