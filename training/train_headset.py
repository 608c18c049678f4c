"""`unvisor train-headset`: train HeadsetNet on made-up scenes; resumable."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from rich.progress import Progress
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from hmd_capture.headset_render import Headset
from models.headset_net import HeadsetNetSettings
from streaming.errors import UserError
from training import checkpoint
from training.bare_faces import BareFace, clip_faces, portraits
from training.faces import FaceClips, FaceDataError
from training.headset_losses import HeadsetTargets, collate
from training.headset_models import headset_models, split_names
from training.headset_trainer import HeadsetScore, HeadsetTrainer, HeadsetTrainerSettings
from training.trainer import TrainingDiverged
from training.worn_scenes import WornScenes

log = logging.getLogger(__name__)

CHECKPOINT, BEST, CURVE, SETTINGS = "last.pt", "best.pt", "curve.jsonl", "settings.json"
SHAPE_SCENES = 1500  # scenes whose meshes give the mesh head its first basis
VALIDATION_BATCHES = 8
VALIDATION_SEED = 99


def train_headset(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    headsets: Annotated[
        Path | None, typer.Option(help="Folder of headset pictures with their manifest.")
    ] = None,
    stills: Annotated[Path | None, typer.Option(help="Folder of portrait photos.")] = None,
    minutes: Annotated[float, typer.Option(help="Length of the whole run.", min=0.01)] = 60,
    batch: Annotated[int, typer.Option(help="Scenes per step.", min=2)] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 6,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint whose weights a new run starts with.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that make scenes.", min=0)] = 1,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.", min=1)] = 250,
    bfloat16: Annotated[bool, typer.Option(help="Mixed precision.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of scenes and initial weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
) -> None:
    """Train the headset tracker's network; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    """
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = HeadsetTrainerSettings(learning_rate=learning_rate, bfloat16=bfloat16)
    try:
        clips = FaceClips(data)
        faces = list(clip_faces(clips, "train", every, limit_clips))
        faces += list(portraits(stills, held_back=False)) if stills else []
        val_faces = list(clip_faces(clips, "val", every, limit_clips))
        models = headset_models(headsets, split_names(headsets, "train") if headsets else [])
        trainer = HeadsetTrainer(HeadsetNetSettings(), settings, device)
        resumed = (run / CHECKPOINT).exists()
        if resumed:
            trainer.load_state_dict(checkpoint.load(run / CHECKPOINT))
            log.info("resuming %s at step %d", run, trainer.finished_steps)
        else:
            _write_settings(run, trainer, data=str(data), faces=len(faces), seed=seed)
            trainer.start_from_shapes(_shapes(faces, models, seed))
            if start_from is not None:
                trainer.start_from(checkpoint.load(start_from))
        validation = _validation(val_faces, models, batch)
        scenes = SceneBatches(faces, models, batch, seed + trainer.finished_steps)
        loader = DataLoader(scenes, batch_size=None, num_workers=workers)
        _loop(trainer, iter(loader), validation, run, minutes * 60, validate_every)
    except (FaceDataError, checkpoint.CheckpointError, TrainingDiverged) as error:
        raise UserError(str(error)) from error


class SceneBatches(IterableDataset[HeadsetTargets]):
    """Endless batches of new scenes."""

    def __init__(
        self,
        faces: list[BareFace],
        models: tuple[list[Headset], list[Headset]],
        batch: int,
        seed: int,
    ) -> None:
        """Each worker process draws with a seed of its own."""
        self._parts, self._batch, self._seed = (faces, *models), batch, seed

    def __iter__(self) -> Iterator[HeadsetTargets]:
        """Go on forever."""
        cv2.setNumThreads(1)
        worker = get_worker_info()
        scenes = WornScenes(*self._parts, seed=self._seed * 64 + (worker.id if worker else 0))
        while True:
            yield collate([scenes.scene() for _ in range(self._batch)])


def _loop(
    trainer: HeadsetTrainer,
    batches: Iterator[HeadsetTargets],
    validation: list[HeadsetTargets],
    run: Path,
    total_s: float,
    validate_every: int,
) -> None:
    best = _best_so_far(run)
    last = time.monotonic()
    share = trainer.finished_share
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            losses = trainer.step(next(batches), share)
            now = time.monotonic()
            share, last = share + (now - last) / total_s, now
            progress.update(bar, completed=share)
            if trainer.finished_steps % 20 == 0:
                _record(run, {"step": trainer.finished_steps, "share": round(share, 4), **losses})
            if trainer.finished_steps % validate_every == 0 or share >= 1.0:
                best = _validate(trainer, validation, run, best)
                last = time.monotonic()  # validating is not training


def _validate(
    trainer: HeadsetTrainer, validation: list[HeadsetTargets], run: Path, best: float
) -> float:
    score = trainer.score(validation)
    log.info("step %d: %s", trainer.finished_steps, score)
    _record(run, {"step": trainer.finished_steps, "validation": asdict(score)})
    checkpoint.save(trainer.state_dict(), run / CHECKPOINT)
    if score.total > best:
        checkpoint.save({**trainer.shippable(), "validation": asdict(score)}, run / BEST)
    return max(score.total, best)


def _shapes(
    faces: list[BareFace], models: tuple[list[Headset], list[Headset]], seed: int
) -> torch.Tensor:
    scenes = WornScenes(faces, *models, seed=seed)
    meshes = [scene.mesh for _ in range(SHAPE_SCENES) if (scene := scenes.scene()).mesh is not None]
    return torch.stack([torch.from_numpy(mesh) for mesh in meshes])


def _validation(
    faces: list[BareFace], models: tuple[list[Headset], list[Headset]], batch: int
) -> list[HeadsetTargets]:
    scenes = WornScenes(faces, *models, seed=VALIDATION_SEED)
    return [collate([scenes.scene() for _ in range(batch)]) for _ in range(VALIDATION_BATCHES)]


def _best_so_far(run: Path) -> float:
    if not (run / BEST).exists():
        return -float("inf")
    return HeadsetScore(**checkpoint.load(run / BEST)["validation"]).total


def _write_settings(run: Path, trainer: HeadsetTrainer, **more: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    parts = {"network": asdict(trainer.network.settings), "trainer": asdict(trainer.settings)}
    (run / SETTINGS).write_text(json.dumps({**parts, **more}, indent=1) + "\n")


def _record(run: Path, row: dict[str, Any]) -> None:
    with open(run / CURVE, "a") as file:
        file.write(json.dumps(row) + "\n")
