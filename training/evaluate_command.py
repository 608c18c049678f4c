"""`unvisor evaluate`: options, progress and what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.filling import DEFAULT_FILLER
from training import score_report
from training.bank_protocol import BANK
from training.bank_report import bank_document
from training.evaluate import METHODS, evaluate_fillers, makers_of, report
from training.eyes.evaluation import EYES, eyes_document
from training.eyes.report import tell_eyes
from training.faces import FaceClips, ImageU8
from training.helper_weights import DEFAULT_FOLDER, lpips_alex
from training.live_report import LIVE, Advance, live_document
from training.protocol import ScoredClip


def evaluate(
    data: Annotated[
        Path, typer.Option(help="Folder of face clips; of near-eye images for eyes (docs/DATA.md).")
    ],
    protocol: Annotated[str, typer.Option(help="hmd, hmd-far, bank, live or eyes.")] = "hmd",
    split: Annotated[str, typer.Option(help="train, val, test or demo.")] = "test",
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat for several; default: {', '.join(METHODS)}."),
    ] = None,
    filler_size: Annotated[int, typer.Option(min=32, max=512, help="Crop side, px.")] = 128,
    weights: Annotated[
        Path | None,
        typer.Option(help="ONNX file that `unvisor`, or `eyes`, runs instead of the shipped one."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the LPIPS network's weights.")
    ] = DEFAULT_FOLDER,
    lpips: Annotated[bool, typer.Option(help="Score LPIPS too (needs --helper-weights).")] = True,
    headsets: Annotated[
        Path | None, typer.Option(help="live: folder of headset pictures with a manifest.")
    ] = None,
    faces: Annotated[
        Path | None, typer.Option(help="eyes: folder of face clips, to score simulated eyes too.")
    ] = None,
    limit_clips: Annotated[
        int | None,
        typer.Option(min=1, help="Score this many clips, spread over the split."),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write every score here."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write the table here."),
    ] = None,
    strips: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures: per clip all methods, per source the eyes read."),
    ] = None,
) -> None:
    """Score fillers on face clips under a simulated headset.

    hmd, hmd-far and bank give the true outline and landmarks; live gives nothing: the product finds
    both. eyes scores the network that reads eye cameras, on near-eye images.
    """
    if protocol == EYES:
        with _progress(f"{protocol}, {split}") as advance:
            document = eyes_document(data, split, weights, faces, strips, advance)
        tell_eyes(document, json_file, markdown)
        return
    clips = FaceClips(data)
    if method is None and protocol in (LIVE, BANK):
        method = [DEFAULT_FILLER]
    makers = makers_of(method or METHODS, threads, weights)
    distance = lpips_alex(helper_weights) if lpips else None
    with _progress(f"{protocol}, {split}") as advance:
        if protocol == LIVE:
            document = live_document(
                clips, split, makers, headsets, filler_size, distance, limit_clips, strips, advance
            )
        elif protocol == BANK:
            document = bank_document(
                clips, split, makers, filler_size, distance, limit_clips, _watcher(strips, advance)
            )
        else:
            document = report(
                evaluate_fillers(
                    clips,
                    makers,
                    protocol=protocol,
                    split=split,
                    size_px=filler_size,
                    distance=distance,
                    limit_clips=limit_clips,
                    on_clip=_watcher(strips, advance),
                )
            )
    _tell(document, json_file, markdown)


@contextmanager
def _progress(title: str) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _watcher(
    strips: Path | None, advance: Advance
) -> Callable[[int, int, ScoredClip, Mapping[str, ImageU8]], None]:
    def show(index: int, total: int, clip: ScoredClip, filled: Mapping[str, ImageU8]) -> None:
        advance(index + 1, total)
        if strips is not None:
            score_report.write_strip(strips, clip, filled)

    return show


def _tell(document: dict[str, Any], json_file: Path | None, markdown: Path | None) -> None:
    Console().print(score_report.rich_table(document))
    if "tracker" in document:
        Console().print(score_report.tracker_table(document))
        Console().print(score_report.eyes_table(document))
    if json_file is not None:
        score_report.write_json(json_file, document)
    if markdown is not None:
        score_report.write_text(markdown, score_report.markdown_table(document))
