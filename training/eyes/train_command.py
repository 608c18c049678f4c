"""`unvisor train-eyes`: train EyeNet on real and simulated eye images; resumable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from models.eyes.network import EyeNetSettings
from training.clips.faces import FaceClips
from training.eyes.drawing import EyeDraw, training_eyes
from training.eyes.samples import EyeSample
from training.eyes.scores import eye_score, plain
from training.eyes.targets import EyeTargets
from training.eyes.trainer import EyeTrainer, EyeTrainerSettings
from training.run.folder import RunFolder
from training.small_networks import options
from training.small_networks.loop import Rhythm, TimedTraining, Verdict

VALIDATED = 1500  # images of each kind at most
RECORD_EVERY = 50  # steps


def train_eyes(
    data: Annotated[Path, typer.Option(help="Folder of near-eye images (docs/DATA.md).")],
    faces: Annotated[Path, typer.Option(help="Folder of face clips for simulated eyes.")],
    run: options.Run,
    minutes: options.Minutes = 40,
    batch: Annotated[int, typer.Option(help="Images per step.", min=2)] = 48,
    learning_rate: options.LearningRate = 3e-3,
    every: options.Every = 6,
    start_from: options.StartFrom = None,
    workers: Annotated[int, typer.Option(help="Processes that draw images.", min=0)] = 0,
    validate_every: Annotated[float, typer.Option(help="Seconds between validations.")] = 120,
    bfloat16: options.Bfloat16 = True,
    seed: Annotated[int, typer.Option(help="Seed of images and initial weights.")] = 0,
    limit_clips: options.LimitClips = 0,
) -> None:
    """Train the network that reads eye cameras; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    """
    device = options.prepared_device(seed)
    settings = EyeTrainerSettings(learning_rate=learning_rate, bfloat16=bfloat16)
    with options.failing_in_a_sentence():
        clips = FaceClips(faces)
        samples = training_eyes(data, clips, "train", every, seed, limit_clips)
        validation = by_kind(training_eyes(data, clips, "val", 2 * every, seed, limit_clips))
        trainer = EyeTrainer(EyeNetSettings(), settings, device)
        training = TimedTraining(trainer, RunFolder(run), lambda: _verdict(trainer, validation))
        told = {"data": str(data), "images": len(samples), "batch": batch, "seed": seed}
        training.begin(told, start_from)
        rhythm = Rhythm(minutes, RECORD_EVERY, validate_every_s=validate_every)
        drawn = partial(_batches, samples, batch)
        training.run_on(trainer.step, drawn, seed, workers, rhythm)


def _batches(samples: Sequence[EyeSample], batch: int, seed: int) -> Iterator[EyeTargets]:
    """New images, forever."""
    draw = EyeDraw(samples, batch, seed)
    while True:
        yield draw.batch()


def by_kind(samples: Sequence[EyeSample]) -> dict[str, list[EyeSample]]:
    """Real, simulated and eyeless images apart, thinned to VALIDATED of each."""
    kinds: dict[str, list[EyeSample]] = {"real": [], "sim": [], "nothing": []}
    for sample in samples:
        kinds.get(sample.source, kinds["real"]).append(sample)
    return {
        kind: found[:: max(1, -(-len(found) // VALIDATED))]
        for kind, found in kinds.items()
        if found
    }


def _verdict(trainer: EyeTrainer, validation: dict[str, list[EyeSample]]) -> Verdict:
    scores = {kind: eye_score(found, trainer.read(found)) for kind, found in validation.items()}
    total = sum(score.total for score in scores.values())
    said = {kind: plain(score) for kind, score in scores.items()}
    return Verdict(total, {"validation": said}, f"{total:.4f} {said}")
