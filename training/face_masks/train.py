"""`unvisor train-face-mask`: train FaceMaskNet on made-up scenes; resumable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from hmd_capture.face_masks.patterns import Textures
from models.export import export_face_mask_net
from models.face_masks.network import FaceMaskNet, FaceMaskNetSettings
from training.face_masks.scenes import MaskScenes
from training.face_masks.trainer import FaceMaskTrainer, FaceMaskTrainerSettings, collate
from training.run.folder import RunFolder
from training.scenes.bare_faces import BareFace, faces_to_learn
from training.small_networks import options
from training.small_networks.loop import Rhythm, TimedTraining, Verdict
from training.small_networks.masks import MaskTargets
from training.small_networks.shipping import export_best

EXPORTED = "face_mask_net.onnx"
VALIDATION_BATCHES = 20
VALIDATION_SEED = 99


def train_face_mask(
    data: options.Clips,
    run: options.Run,
    stills: options.Stills = None,
    minutes: options.Minutes = 30,
    batch: options.ScenesPerStep = 8,
    learning_rate: options.LearningRate = 2e-3,
    every: options.Every = 10,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Weights a new run starts with: FaceMaskNet's or HeadsetNet's."),
    ] = None,
    workers: options.SceneWorkers = 1,
    validate_every: options.ValidateEvery = 600,
    seed: options.SceneSeed = 0,
    limit_clips: options.LimitClips = 0,
) -> None:
    """Train the network that finds face masks; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    When the run is over, its best network is exported into the run's folder.
    """
    device = options.prepared_device(seed)
    settings = FaceMaskTrainerSettings(learning_rate=learning_rate)
    with options.failing_in_a_sentence():
        parts = faces_to_learn(data, stills, every, limit_clips)
        faces, val_faces = (list(part) for part in parts)
        trainer = FaceMaskTrainer(FaceMaskNetSettings(), settings, device)
        held_back = endless_batches(val_faces, "val", batch, VALIDATION_SEED)
        validation = list(islice(held_back, VALIDATION_BATCHES))
        training = TimedTraining(
            trainer, RunFolder(run), lambda: Verdict.of(trainer.score(validation))
        )
        told = {"faces": len(faces), "batch": batch, "seed": seed}
        training.begin({"data": str(data), **told}, start_from)
        rhythm = Rhythm(minutes, validate_every=validate_every)
        drawn = partial(endless_batches, faces, "train", batch)
        training.run_on(trainer.step, drawn, seed, workers, rhythm)
    exported = export_best(run / EXPORTED, built, export_face_mask_net, {"training": told})
    typer.echo(f"{exported} written.")


def endless_batches(
    faces: list[BareFace], textures: Textures, batch: int, seed: int
) -> Iterator[MaskTargets]:
    """New scenes, forever."""
    scenes = MaskScenes(faces, textures, seed)
    while True:
        yield collate([scenes.scene() for _ in range(batch)])


def built(kept: dict[str, Any]) -> FaceMaskNet:
    """The network that a checkpoint is of, without its weights."""
    return FaceMaskNet(FaceMaskNetSettings(**kept["face_mask_net"]))
