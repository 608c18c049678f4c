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
from training.face_masks.trainer import (
    FaceMaskTrainer,
    FaceMaskTrainerSettings,
    MaskScore,
    MaskTargets,
    collate,
)
from training.run import checkpoint
from training.run.folder import BEST, RunFolder
from training.scenes.bare_faces import BareFace, faces_to_learn
from training.small_networks import options
from training.small_networks.batches import EndlessBatches, drawn_apart
from training.small_networks.loop import Rhythm, TimedTraining, Verdict

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
        validation = list(
            islice(_batches(val_faces, "val", batch, VALIDATION_SEED), VALIDATION_BATCHES)
        )
        trainer = FaceMaskTrainer(FaceMaskNetSettings(), settings, device)
        training = TimedTraining(
            trainer,
            RunFolder(run),
            lambda: Verdict.of(trainer.score(validation)),
            lambda kept: MaskScore(**kept["validation"]).total,
        )
        if not training.resume() and start_from is not None:
            trainer.start_from(checkpoint.load(start_from))
        drawn = SceneBatches(faces, "train", batch, seed + trainer.finished_steps)
        batches = drawn_apart(drawn, workers)
        rhythm = Rhythm(minutes, validate_every=validate_every)
        training.run(lambda share: {"loss": trainer.step(next(batches), share)}, rhythm)
    exported = export_best(run, {"training": {"faces": len(faces), "batch": batch, "seed": seed}})
    typer.echo(f"{exported} written.")


class SceneBatches(EndlessBatches[MaskTargets]):
    """Endless batches of new scenes."""

    def __init__(self, faces: list[BareFace], textures: Textures, batch: int, seed: int) -> None:
        """Each worker process draws with a seed of its own."""
        super().__init__(partial(_batches, faces, textures, batch), seed)


def _batches(
    faces: list[BareFace], textures: Textures, batch: int, seed: int
) -> Iterator[MaskTargets]:
    """New scenes, forever."""
    scenes = MaskScenes(faces, textures, seed)
    while True:
        yield collate([scenes.scene() for _ in range(batch)])


def export_best(run: Path, testimony: dict[str, Any]) -> Path:
    """Write the best network of a run as ONNX with its manifest; returns its path."""
    kept = checkpoint.load(run / BEST)
    network = FaceMaskNet(FaceMaskNetSettings(**kept["face_mask_net"]))
    network.load_state_dict(kept["average"])
    told = {"trained_steps": int(kept["step"]), "validation": kept["validation"], **testimony}
    export_face_mask_net(network, run / EXPORTED, told)
    return run / EXPORTED
