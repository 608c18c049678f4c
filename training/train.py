"""`unvisor train`: train an inpainting network by a recipe; resumable."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer

from streaming.errors import UserError
from training.clips.licences import LicenceClass
from training.feeding.sources import open_source
from training.helper_weights import DEFAULT_FOLDER, HelperWeightsError
from training.inpainting import InpaintingTraining, Setting, worker_count
from training.loop import Limits, Loop, Rhythm
from training.recipes.loader import load_recipe, scale_names
from training.recipes.schema import Recipe
from training.run import checkpoint
from training.run.folder import RunFolder
from training.run.processes import Processes, join_processes
from training.trainer import TrainingDiverged
from training.validation import ValidationScore

log = logging.getLogger(__name__)

READ_EVERY_ON_GPU = 16  # steps between looks at the losses, for which the GPU would wait
LOOK_EVERY_TOGETHER = 8  # steps between looks at the clock, when several processes must agree


def train(
    data: Annotated[
        Path, typer.Option(help="Folder of shards (`unvisor pack-clips`) or of face clips.")
    ],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    recipe: Annotated[
        str, typer.Option(help="Name in training/recipes, or a TOML file.")
    ] = "unvisor",
    scale: Annotated[
        str | None,
        typer.Option(help=f"Smaller means for any recipe: {', '.join(scale_names())}."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="SECTION.KEY=VALUE in place of the recipe's; repeatable."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps in all; default: the recipe's.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Training time in all, instead of steps; 0 = no limit.")
    ] = 0,
    stop_after: Annotated[
        float, typer.Option(min=0, help="Save and stop this call after so many minutes.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that prepare clips; default: all cores but one."),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Checkpoint that a new run starts from; last.pt has the adversary, too."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of data order and initial weights.")] = 0,
    licence_class: LicenceClass = None,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the loss networks.")
    ] = DEFAULT_FOLDER,
) -> None:
    """Train an inpainting network by a recipe; start the same command again to resume."""
    cv2.setNumThreads(1)
    chosen = load_recipe(recipe, change or (), scale)
    # With minutes alone, the schedule follows the clock, and ends when they do.
    wanted = steps if steps is not None or minutes else chosen.optimiser.steps
    limits = Limits(wanted, minutes, stop_after)
    processes = join_processes()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = worker_count(workers, processes.world, cores or 1)
    try:
        source = open_source(data, licence_class or ())
        setting = Setting(chosen, source, helper_weights, seed, count)
        other = _other_run(start_from) if start_from else None
        _train(setting, RunFolder(run), processes, limits, other)
    except (HelperWeightsError, checkpoint.CheckpointError, TrainingDiverged) as error:
        raise UserError(str(error)) from error
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            "The GPU's memory is too small for this training; the last checkpoint is kept.",
            "Lower batch.streams with --set, and raise batch.accumulate as much.",
        ) from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"Training cannot start: {error}.") from error


def _train(
    setting: Setting,
    folder: RunFolder,
    processes: Processes,
    limits: Limits,
    start_from: dict[str, Any] | None,
) -> None:
    training = InpaintingTraining(setting, folder, processes)
    over = False
    try:
        trained_s = training.resume(start_from)
        if training.finished_steps:
            log.info("resuming %s at step %d", folder.path, training.finished_steps)
        training.write_settings()
        writes = folder if processes.rank == 0 else None
        rhythm = _rhythm(setting.recipe, processes)
        loop = Loop(training, writes, limits, rhythm, trained_s, _best(folder))
        over = loop.run()
        log.info(
            "step %d, %.1f minutes of training; %.1f s waited for clips in this call",
            training.finished_steps,
            loop.trained_s / 60,
            training.waited_s,
        )
    finally:
        training.close(over)


def _other_run(path: Path) -> dict[str, Any]:
    kept = checkpoint.load(path)
    if not isinstance(kept.get("average"), dict):
        raise UserError(f"{path} holds no inpainting network.", "Give best.pt of another run.")
    return kept


def _rhythm(recipe: Recipe, processes: Processes) -> Rhythm:
    on_gpu = processes.device.type == "cuda"
    return Rhythm(
        recipe.watching.validate_every_steps,
        recipe.watching.save_every_minutes,
        READ_EVERY_ON_GPU if on_gpu else 1,
        LOOK_EVERY_TOGETHER if processes.world > 1 else 1,
    )


def _best(folder: RunFolder) -> float:
    kept = folder.best()
    return -float("inf") if kept is None else ValidationScore(**kept["validation"]).total
