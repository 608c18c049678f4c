"""`unvisor import-videos`: options, progress and what became of each video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from streaming.errors import UserError
from training.importing.importer import Outcome, Wishes, import_videos, videos_in
from training.importing.splits import read_lists


def import_videos_command(
    folder: Annotated[Path, typer.Argument(help="Videos, in subfolders too.")],
    out: Annotated[Path, typer.Option(help="Folder of face clips to make or go on with.")],
    person_from: Annotated[
        str, typer.Option(help="Who is seen: the file's `name`, or the `folder` it lies in.")
    ] = "name",
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="SPLIT=FILE.json: names of the people in train, val or test; others are left out. "
            "Without, a tenth of the people each is val and test, by a hash of the name."
        ),
    ] = None,
    fewest_frames: Annotated[
        int, typer.Option(min=2, help="Shorter stretches with a face are left out.")
    ] = 34,
    most_frames: Annotated[
        int, typer.Option(min=34, help="Longer ones become several clips.")
    ] = 300,
    licence_class: Annotated[
        str, typer.Option(help="Noted in the manifest, to choose clips by.")
    ] = "unknown",
    licence: Annotated[str, typer.Option(help="Noted in the manifest, in words.")] = "",
) -> None:
    """Cut face clips for training and scoring out of a folder of videos, as of FaceForensics.

    The crop follows the head slowly; landmarks are MediaPipe's. Start it again to go on.
    """
    if person_from not in ("name", "folder"):
        raise UserError(f"--person-from is '{person_from}'.", "Use name or folder.")
    wishes = Wishes(
        fewest_frames=fewest_frames,
        most_frames=most_frames,
        person_from=person_from,
        lists=read_lists(split or []),
        licence_class=licence_class,
        licence=licence,
    )
    states = import_videos(folder, out, wishes)
    total, console = len(videos_in(folder)), Console(stderr=True)
    *_, last = track(states, "importing", total, console=console)
    _tell(last, out)


def _tell(outcome: Outcome, out: Path) -> None:
    console = Console()
    for video, reason in outcome.skipped.items():
        console.print(f"{video}: left out, {reason}.", markup=False)
    console.print(f"{len(outcome.segments)} clips written to {out}.", markup=False)
    if not outcome.segments and not outcome.already:
        raise UserError(
            f"None of the {len(outcome.skipped)} videos gave a clip.",
            "Use videos in which one face is seen for more than a second, 100 px wide and more.",
        )
