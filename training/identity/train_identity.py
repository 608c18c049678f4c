"""`unvisor train-identity`: train FacePrintNet to tell persons apart by what a headset leaves."""

from __future__ import annotations

import itertools
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from rich.progress import Progress

from streaming.errors import UserError
from training import checkpoint
from training.faces import FaceClips, FaceDataError
from training.headset_models import headset_models, split_names
from training.helper_weights import DEFAULT_FOLDER, HelperWeightsError
from training.identity.faces import (
    PersonFaces,
    clip_sources,
    cut_faces,
    held_back,
    portrait_sources,
)
from training.identity.teacher import teacher_weights
from training.identity.trainer import IdentityScore, IdentitySettings, IdentityTrainer, score
from training.trainer import TrainingDiverged

log = logging.getLogger(__name__)

CHECKPOINT, BEST, CURVE, SETTINGS, FACES = (
    *("last.pt", "best.pt", "curve.jsonl", "settings.json"),
    "faces.npz",
)
CUTTING_SEED, VALIDATION_SEED = 5, 99
VALIDATION_FACES = 600


def train_identity(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    stills: Annotated[Path | None, typer.Option(help="Folder of portrait photos.")] = None,
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
    ] = None,
    helper_weights: Annotated[Path, typer.Option(help="Folder of the teacher.")] = DEFAULT_FOLDER,
    minutes: Annotated[float, typer.Option(help="Length of the whole run.", min=0.01)] = 40,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of the later blocks.")] = 1e-4,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 8,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.", min=1)] = 200,
    bfloat16: Annotated[bool, typer.Option(help="Mixed precision.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of views and new weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
) -> None:
    """Train the network that compares persons; start the same command again to resume.

    The run's folder keeps the cut-out faces: pictures of people, to be deleted when done.
    """
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    settings = IdentitySettings(learning_rate=learning_rate, bfloat16=bfloat16)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        weights = teacher_weights(helper_weights)
        faces, validation = _faces(run, data, stills, headsets, weights, every, limit_clips)
        trainer = IdentityTrainer(faces, settings, device, seed)
        if (run / CHECKPOINT).exists():
            trainer.load_state_dict(checkpoint.load(run / CHECKPOINT))
            log.info("resuming %s at step %d", run, trainer.finished_steps)
        else:
            trainer.start_from(weights)
            trainer.fit_heads()
            _write_settings(run, settings, data=str(data), faces=len(faces), seed=seed)
        _loop(trainer, validation, run, minutes * 60, validate_every)
    except (FaceDataError, checkpoint.CheckpointError, TrainingDiverged) as error:
        raise UserError(str(error)) from error
    except HelperWeightsError as error:
        raise UserError(str(error)) from error


def _faces(
    run: Path,
    data: Path,
    stills: Path | None,
    headsets: Path | None,
    weights: dict[str, torch.Tensor],
    every: int,
    limit: int,
) -> tuple[PersonFaces, PersonFaces]:
    """Faces to train on, and those of val clips and held-back persons; cut once per run."""
    kept = run / FACES
    if kept.exists():
        faces = PersonFaces.load(kept)
    else:
        clips = FaceClips(data)
        names = split_names(headsets, "train") if headsets else []
        built_in, models = headset_models(headsets, names)
        sources = [clip_sources(clips, "train", every, limit)]
        sources += [portrait_sources(stills)] if stills else []
        worn = [*built_in, *models * (len(built_in) // max(len(models), 1))]
        train = cut_faces(itertools.chain(*sources), worn, weights, CUTTING_SEED)
        val = cut_faces(clip_sources(clips, "val", every, limit), worn, weights, CUTTING_SEED)
        marked = replace(val, persons=np.char.add(VAL_PREFIX, val.persons))
        faces = PersonFaces.joined(train, marked)
        faces.save(kept)
    is_val = np.char.startswith(faces.persons, VAL_PREFIX)
    apart = is_val | held_back(faces)
    return faces.chosen(~apart), _thinned(faces.chosen(apart))


VAL_PREFIX = "val:"


def _thinned(faces: PersonFaces) -> PersonFaces:
    step = max(1, len(faces) // VALIDATION_FACES)
    is_portrait = faces.scenes == "portraits"
    return faces.chosen(is_portrait | (np.arange(len(faces)) % step == 0))


def _loop(
    trainer: IdentityTrainer,
    validation: PersonFaces,
    run: Path,
    total_s: float,
    validate_every: int,
) -> None:
    best = _best_so_far(run)
    if not trainer.finished_steps:
        best = _validate(trainer, validation, run, best)
    last, share = time.monotonic(), trainer.finished_share
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            losses = trainer.step(share)
            now = time.monotonic()
            share, last = share + (now - last) / total_s, now
            progress.update(bar, completed=share)
            if trainer.finished_steps % 20 == 0:
                _record(run, {"step": trainer.finished_steps, "share": round(share, 4), **losses})
            if trainer.finished_steps % validate_every == 0 or share >= 1.0:
                best = _validate(trainer, validation, run, best)
                last = time.monotonic()  # validating is not training


def _validate(trainer: IdentityTrainer, validation: PersonFaces, run: Path, best: float) -> float:
    found = score(trainer, validation, VALIDATION_SEED)
    log.info("step %d: %s", trainer.finished_steps, found)
    _record(run, {"step": trainer.finished_steps, "validation": asdict(found)})
    checkpoint.save(trainer.state_dict(), run / CHECKPOINT)
    if found.total > best:
        checkpoint.save({**trainer.shippable(), "validation": asdict(found)}, run / BEST)
    return max(found.total, best)


def _best_so_far(run: Path) -> float:
    if not (run / BEST).exists():
        return -float("inf")
    return IdentityScore(**checkpoint.load(run / BEST)["validation"]).total


def _write_settings(run: Path, settings: IdentitySettings, **more: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / SETTINGS).write_text(json.dumps({"trainer": asdict(settings), **more}, indent=1) + "\n")


def _record(run: Path, row: dict[str, Any]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    with open(run / CURVE, "a") as file:
        file.write(json.dumps(row) + "\n")
