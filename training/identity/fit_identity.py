"""`unvisor fit-identity`: how much each look counts, and when a session decides.

The weights of a look are fitted on persons of the train split that FacePrintNet did not learn from
(those held back); the decision's thresholds are chosen on them and on the val split. Every clip is
tried as it is and filmed anew by another camera in another light, because a wearer's session is
not the one of the profile.
"""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console

from edge.identity.evidence import EvidenceSettings
from edge.identity.likeness import FITTED, Weights
from models.headset.reader import HeadsetReader
from models.identity.reader import SHIPPED_FACE_PRINT, FacePrintReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips
from training.identity.fitting import choose_settings, fit_weights, flagged_share
from training.identity.looks import Trial, features, trials
from training.identity.sessions import person_clip
from training.scenes.bare_faces import is_held_back
from training.scenes.headset_models import headset_models, split_names

log = logging.getLogger(__name__)

MOST_REFUSED = 0.01  # of owners within ten seconds, every person counting the same
LIGHT_SEEDS = (None, 1000)
OTHERS = 8  # persons tried with each profile


def fit_identity(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
    ] = None,
    network: Annotated[Path, typer.Option(help="FacePrintNet as ONNX.")] = SHIPPED_FACE_PRINT,
    output: Annotated[Path, typer.Option(help="File to write.")] = FITTED,
) -> None:
    """Fit the weights of a look and choose the thresholds, after the network was trained."""
    cv2.setNumThreads(1)
    console = Console(stderr=True, highlight=False)
    clips = FaceClips(data)
    try:
        prints = FacePrintReader(network)
    except WeightsError as error:
        raise UserError(str(error)) from error
    apart = [row for row in clips.rows("train") if is_held_back(row.identity)]
    fitted_on = all_trials(clips, apart, headsets, prints)
    weights = {window: _weights(fitted_on, window) for window in ("bare", "lower")}
    chosen_on = [*fitted_on, *all_trials(clips, clips.rows("val"), headsets, prints)]
    try:
        chosen = choose_settings(chosen_on, weights, MOST_REFUSED, candidates())
    except ValueError as error:
        raise UserError(f"Nothing was written: {error}.", "Train the network longer.") from error
    found = {
        f"{window}_{who}": flagged_share(
            [t for t in chosen_on if t.window == window], weights, chosen, own=who == "own"
        )
        for window in ("bare", "lower")
        for who in ("own", "others")
    }
    tree = {
        "network": prints.version,
        "windows": {window: asdict(weight) for window, weight in weights.items()},
        "evidence": asdict(chosen),
        "flagged": found,
    }
    output.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    console.print(f"{output} written: {json.dumps(found)}")


def all_trials(
    clips: FaceClips, rows: list[FaceClip], headsets: Path | None, prints: FacePrintReader
) -> list[Trial]:
    """Every clip's profile with its own clips and some others, each light in turn."""
    names = split_names(headsets, "train") if headsets else []
    built_in, models = headset_models(headsets, names)
    worn = [*models, *built_in[:8]]
    reader = HeadsetReader()
    found: list[Trial] = []
    for seed in LIGHT_SEEDS:
        people = [
            person_clip(
                clips,
                row,
                worn[index % len(worn)],
                reader,
                prints,
                None if seed is None else seed + index,
            )
            for index, row in enumerate(rows)
        ]
        found += trials(people, people, prints, others_per_profile=OTHERS)
        log.info("%d trials", len(found))
    return found


def candidates() -> list[EvidenceSettings]:
    """Ways of deciding that are tried."""
    return [
        EvidenceSettings(fade_s, most, wrong, -wrong / 2, -most_sum, most_sum)
        for fade_s, most, share in itertools.product(
            (3.0, 6.0, 12.0), (1.0, 2.0, 4.0), (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        )
        # As many looks as fade_s holds, all of them speaking fully against, reach this sum.
        for full in (most * fade_s / 0.3,)
        for wrong, most_sum in ((-share * full, full),)
    ]


def _weights(chosen: list[Trial], window: str) -> Weights:
    of_window = [trial for trial in chosen if trial.window == window]
    own = features([trial for trial in of_window if trial.is_own])
    return fit_weights(own, features([trial for trial in of_window if not trial.is_own]))
