"""`unvisor train`: train the inpainting network on face clips; resumable."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from rich.progress import Progress, track

from models.evi_hrnet import NetworkSettings
from streaming.errors import UserError
from training import checkpoint, validation
from training.faces import FaceClips, FaceDataError
from training.helper_weights import (
    DEFAULT_FOLDER,
    HelperWeightsError,
    lpips_alex,
    vgg16_features,
)
from training.losses import LossWeights, PerceptualLoss
from training.streams import DecodedClip, TrainingStreams
from training.trainer import Trainer, TrainerSettings, TrainingDiverged

log = logging.getLogger(__name__)

CHECKPOINT, BEST, CURVE, SETTINGS = "last.pt", "best.pt", "curve.jsonl", "settings.json"


def train(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.", min=1)] = 2000,
    minutes: Annotated[float, typer.Option(help="Stop after this time; 0 = no limit.")] = 0,
    width: Annotated[int, typer.Option(help="Channels of the first layer.")] = 32,
    size_px: Annotated[int, typer.Option(help="Side of the crop.")] = 128,
    streams: Annotated[int, typer.Option(help="Clips played side by side.", min=1)] = 8,
    chunk_frames: Annotated[int, typer.Option(help="Frames per step and stream.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    adversarial_from: Annotated[int, typer.Option(help="First step with a discriminator.")] = 600,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.", min=1)] = 200,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint whose weights a new run starts with.")
    ] = None,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the loss networks.")
    ] = DEFAULT_FOLDER,
    bfloat16: Annotated[bool, typer.Option(help="Mixed precision.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of data order and initial weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
) -> None:
    """Train EVI-HRnet on top of the warped reference; start the same command again to resume."""
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        clips = _decode(FaceClips(data), "train", size_px, limit_clips)
        val_clips = _decode(FaceClips(data), "val", size_px, limit_clips)
        perceptual = PerceptualLoss(vgg16_features(helper_weights))
        lpips = lpips_alex(helper_weights)
        settings = TrainerSettings(
            learning_rate=learning_rate,
            total_steps=steps,
            adversarial_from_step=adversarial_from,
            bfloat16=bfloat16,
        )
        network = NetworkSettings(width=width, size_px=size_px)
        trainer = Trainer(network, settings, LossWeights(), perceptual, device)
        _resume(trainer, run, start_from)
        _write_settings(run, network, settings, LossWeights(), data=str(data), seed=seed)
        chunks = TrainingStreams(clips, streams, chunk_frames, seed + trainer.finished_steps)
        _loop(trainer, chunks, val_clips, lpips, run, steps, minutes, validate_every)
    except (FaceDataError, HelperWeightsError, checkpoint.CheckpointError, TrainingDiverged) as e:
        raise UserError(str(e)) from e
    except ValueError as error:
        raise UserError(f"Training cannot start: {error}.") from error


def _loop(
    trainer: Trainer,
    chunks: TrainingStreams,
    val_clips: list[DecodedClip],
    lpips: torch.nn.Module,
    run: Path,
    steps: int,
    minutes: float,
    validate_every: int,
) -> None:
    best = _best_so_far(run)
    until = time.monotonic() + minutes * 60 if minutes else float("inf")
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=steps, completed=trainer.finished_steps)
        for chunk in chunks:
            done = trainer.finished_steps >= steps or time.monotonic() >= until
            if done or trainer.finished_steps % validate_every == 0:
                best = _validate(trainer, val_clips, lpips, run, best)
            if done:
                return
            losses = trainer.step(chunk)
            progress.update(bar, completed=trainer.finished_steps)
            _record(run, {"step": trainer.finished_steps, **losses})


def _validate(
    trainer: Trainer,
    clips: list[DecodedClip],
    lpips: torch.nn.Module,
    run: Path,
    best: float,
) -> float:
    score = validation.validate(trainer.average, clips, lpips, frame_step=2)
    log.info("step %d: %s", trainer.finished_steps, score)
    _record(run, {"step": trainer.finished_steps, "validation": asdict(score)})
    checkpoint.save(trainer.state_dict(), run / CHECKPOINT)
    if score.total > best:
        checkpoint.save({**trainer.shippable(), "validation": asdict(score)}, run / BEST)
    return max(score.total, best)


def _decode(faces: FaceClips, split: str, size_px: int, limit: int) -> list[DecodedClip]:
    rows = faces.rows(split)[: limit or None]
    return [
        DecodedClip(faces.frames(row, size_px), faces.meshes(row, size_px))
        for row in track(rows, f"decoding {split} clips", transient=True)
    ]


def _resume(trainer: Trainer, run: Path, start_from: Path | None) -> None:
    if (run / CHECKPOINT).exists():
        trainer.load_state_dict(checkpoint.load(run / CHECKPOINT))
        log.info("resuming %s at step %d", run, trainer.finished_steps)
    elif start_from is not None:
        trainer.start_with(checkpoint.load(start_from)["average"])


def _best_so_far(run: Path) -> float:
    if not (run / BEST).exists():
        return -float("inf")
    return validation.ValidationScore(**checkpoint.load(run / BEST)["validation"]).total


def _write_settings(run: Path, *parts: Any, **more: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    settings = {type(part).__name__: asdict(part) for part in parts}
    (run / SETTINGS).write_text(json.dumps({**settings, **more}, indent=1) + "\n")


def _record(run: Path, row: dict[str, Any]) -> None:
    with open(run / CURVE, "a") as file:
        file.write(json.dumps(row) + "\n")
