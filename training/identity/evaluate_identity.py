"""`unvisor evaluate-identity`: how often owners are refused and other persons flagged.

Every profile of a split is tried on every person of it, tracked by the product's own tracker, bare
and under headsets that no training saw. Profile and frames of an owner mostly come from one video:
its light and camera are the same, which flatters. So every figure is also given for frames filmed
anew by another simulated camera in another light, and for a person of whom two recordings exist.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console
from rich.progress import track

from edge.identity.likeness import Fitted, fitted
from hmd_capture.headset_render import Headset
from models.headset.reader import HeadsetReader
from models.identity.reader import FacePrintReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips, FaceDataError
from training.identity.looks import Trial, trials
from training.identity.report import plot, roc_of, scores
from training.identity.sessions import PersonClip, person_clip
from training.scenes.headset_models import headset_models, split_names

log = logging.getLogger(__name__)

WINDOWS = ("bare", "lower")
LIGHT_SEED = 5000  # another one than fitting uses
OTHERS = 12  # persons tried with each profile in other light; in one video all are


def evaluate_identity(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose persons are told apart.")] = "test",
    two_recordings: Annotated[
        str, typer.Option(help="Split of persons with several recordings; empty = none.")
    ] = "demo",
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="Draw the ROC (PNG).")] = None,
) -> None:
    """Score the check of who is in view; report the test split once, choose on others."""
    cv2.setNumThreads(1)
    console = Console(stderr=True, highlight=False)
    clips = FaceClips(data)
    try:
        prints, counted = FacePrintReader(), fitted()
    except WeightsError as error:
        raise UserError(str(error)) from error
    names = split_names(headsets, "test") if headsets else []
    built_in, models = headset_models(headsets, names)
    worn: list[Headset] = models or built_in[:4]
    rows = clips.rows(split)[: limit_clips or None]
    groups: dict[str, list[Trial]] = {}
    people = _people(clips, rows, worn, prints, None, console)
    groups["one video"] = list(trials(people, people, prints))
    again = _people(clips, rows, worn, prints, LIGHT_SEED, console)
    groups["other light"] = list(trials(people, again, prints, others_per_profile=OTHERS))
    if two_recordings:
        doubles = _people(clips, _rows(clips, two_recordings), worn, prints, None, console)
        groups["two recordings"] = two_recording_trials(clips, doubles, people, prints)
    tree = _tree(groups, counted, split)
    _show(console, tree)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(_plain(tree), indent=1) + "\n", encoding="utf-8")
    if plot_file is not None:
        curves = {
            f"{_WORDS[window]}, {group}: {'decision in 10 s' if decided else 'one look'}": roc_of(
                [t for t in groups[group] if t.window == window], counted, decided=decided
            )
            for group in ("one video", "other light")
            for window in WINDOWS
            for decided in (False, True)
        }
        plot(curves, plot_file, f"Is it the profile's owner? Split {split}")


_WORDS = {"bare": "bare face", "lower": "headset on"}


def two_recording_trials(
    clips: FaceClips,
    doubles: Sequence[PersonClip],
    people: Sequence[PersonClip],
    prints: FacePrintReader,
) -> list[Trial]:
    """Profiles from one recording, frames from another; other persons in front of them too."""
    recording = {row.segment: row.recording for row in clips.all_rows}
    found = list(trials(doubles, [*doubles, *people], prints))
    return [
        trial
        for trial in found
        if not trial.is_own or recording[trial.segment] != recording[trial.profile_segment]
    ]


def _people(
    clips: FaceClips,
    rows: Sequence[FaceClip],
    worn: Sequence[Headset],
    prints: FacePrintReader,
    seed: int | None,
    console: Console,
) -> list[PersonClip]:
    reader = HeadsetReader()
    turns = track(list(enumerate(rows)), "tracking", console=console, transient=True)
    return [
        person_clip(
            clips, row, worn[i % len(worn)], reader, prints, None if seed is None else seed + i
        )
        for i, row in turns
    ]


def _rows(clips: FaceClips, split: str) -> list[FaceClip]:
    try:
        return clips.rows(split)
    except FaceDataError as error:
        raise UserError(str(error), 'Or add --two-recordings "".') from error


def _tree(groups: dict[str, list[Trial]], counted: Fitted, split: str) -> dict[str, Any]:
    return {
        "split": split,
        "network": counted.network,
        "seconds": 10.0,
        "groups": {
            group: {
                window: scores([t for t in found if t.window == window], counted)
                for window in WINDOWS
            }
            for group, found in groups.items()
        },
    }


def _show(console: Console, tree: dict[str, Any]) -> None:
    for group, windows in tree["groups"].items():
        for window, found in windows.items():
            look, decision = found["look"], found["decision"]
            console.print(
                f"{group}, {_WORDS[window]}: in 10 s {decision['own_refused_trials']} of "
                f"{found['own_trials']} owners refused, {decision['others_flagged']:.1%} of "
                f"{found['other_trials']} others flagged; one look: area under the ROC "
                f"{look['area_under_roc']:.3f}",
                soft_wrap=True,
            )


def _plain(value: Any) -> Any:
    """Without NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
