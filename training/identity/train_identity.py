"""`unvisor train-identity`: train FacePrintNet to tell persons apart by what a headset leaves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from training.clips.faces import FaceClips
from training.helper_weights import DEFAULT_FOLDER
from training.identity.faces import (
    PersonFaces,
    clip_sources,
    cut_faces,
    held_back,
    portrait_sources,
)
from training.identity.teacher import teacher_weights
from training.identity.trainer import IdentitySettings, IdentityTrainer, score
from training.run.folder import RunFolder
from training.scenes.headset_models import headset_models, split_names
from training.small_networks import options
from training.small_networks.loop import Rhythm, TimedTraining, Verdict

FACES = "faces.npz"
CUTTING_SEED, VALIDATION_SEED = 5, 99
VALIDATION_FACES = 600


def train_identity(
    data: options.Clips,
    run: options.Run,
    stills: options.Stills = None,
    headsets: options.Headsets = None,
    helper_weights: Annotated[Path, typer.Option(help="Folder of the teacher.")] = DEFAULT_FOLDER,
    minutes: options.Minutes = 40,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of the later blocks.")] = 1e-4,
    every: options.Every = 8,
    validate_every: options.ValidateEvery = 200,
    bfloat16: options.Bfloat16 = True,
    seed: Annotated[int, typer.Option(help="Seed of views and new weights.")] = 0,
    limit_clips: options.LimitClips = 0,
) -> None:
    """Train the network that compares persons; start the same command again to resume.

    The run's folder keeps the cut-out faces: pictures of people, to be deleted when done.
    """
    device = options.prepared_device(seed)
    settings = IdentitySettings(learning_rate=learning_rate, bfloat16=bfloat16)
    with options.failing_in_a_sentence():
        weights = teacher_weights(helper_weights)
        faces, validation = _faces(run, data, stills, headsets, weights, every, limit_clips)
        trainer = IdentityTrainer(faces, settings, device, seed)

        def first() -> None:
            trainer.start_from(weights)
            trainer.fit_heads()

        training = TimedTraining(
            trainer,
            RunFolder(run),
            lambda: Verdict.of(score(trainer, validation, VALIDATION_SEED)),
        )
        training.begin({"data": str(data), "faces": len(faces), "seed": seed}, first=first)
        if not trainer.finished_steps:
            training.validate()
        training.run(trainer.step, Rhythm(minutes, validate_every=validate_every))


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
