"""`unvisor train-face-mask`: train FaceMaskNet on made-up scenes; resumable."""

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

from hmd_capture.face_masks.patterns import Textures
from models.export import export_face_mask_net
from models.face_mask_net import FaceMaskNet, FaceMaskNetSettings
from streaming.errors import UserError
from training import checkpoint
from training.bare_faces import BareFace, clip_faces, portraits
from training.face_masks.scenes import MaskScenes
from training.face_masks.trainer import (
    FaceMaskTrainer,
    FaceMaskTrainerSettings,
    MaskScore,
    MaskTargets,
    collate,
)
from training.faces import FaceClips, FaceDataError
from training.trainer import TrainingDiverged

log = logging.getLogger(__name__)

CHECKPOINT, BEST, CURVE = "last.pt", "best.pt", "curve.jsonl"
EXPORTED = "face_mask_net.onnx"
VALIDATION_BATCHES = 20
VALIDATION_SEED = 99


def train_face_mask(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    stills: Annotated[Path | None, typer.Option(help="Folder of portrait photos.")] = None,
    minutes: Annotated[float, typer.Option(help="Length of the whole run.", min=0.01)] = 30,
    batch: Annotated[int, typer.Option(help="Scenes per step.", min=2)] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 10,
    start_from: Annotated[
        Path | None,
        typer.Option(help="Weights a new run starts with: FaceMaskNet's or HeadsetNet's."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that make scenes.", min=0)] = 1,
    validate_every: Annotated[int, typer.Option(help="Steps between validations.", min=1)] = 600,
    seed: Annotated[int, typer.Option(help="Seed of scenes and initial weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
) -> None:
    """Train the network that finds face masks; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    When the run is over, its best network is exported into the run's folder.
    """
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = FaceMaskTrainerSettings(learning_rate=learning_rate)
    try:
        clips = FaceClips(data)
        faces = list(clip_faces(clips, "train", every, limit_clips))
        faces += list(portraits(stills, held_back=False)) if stills else []
        validation = _validation(list(clip_faces(clips, "val", every, limit_clips)), batch)
        trainer = FaceMaskTrainer(FaceMaskNetSettings(), settings, device)
        if (run / CHECKPOINT).exists():
            trainer.load_state_dict(checkpoint.load(run / CHECKPOINT))
            log.info("resuming %s at step %d", run, trainer.finished_steps)
        elif start_from is not None:
            trainer.start_from(checkpoint.load(start_from))
        run.mkdir(parents=True, exist_ok=True)
        scenes = SceneBatches(faces, "train", batch, seed + trainer.finished_steps)
        loader = DataLoader(scenes, batch_size=None, num_workers=workers)
        _loop(trainer, iter(loader), validation, run, minutes * 60, validate_every)
    except (FaceDataError, checkpoint.CheckpointError, TrainingDiverged) as error:
        raise UserError(str(error)) from error
    exported = export_best(run, {"training": {"faces": len(faces), "batch": batch, "seed": seed}})
    typer.echo(f"{exported} written.")


class SceneBatches(IterableDataset[MaskTargets]):
    """Endless batches of new scenes."""

    def __init__(self, faces: list[BareFace], textures: Textures, batch: int, seed: int) -> None:
        """Each worker process draws with a seed of its own."""
        self._faces, self._textures, self._batch, self._seed = faces, textures, batch, seed

    def __iter__(self) -> Iterator[MaskTargets]:
        """Go on forever."""
        cv2.setNumThreads(1)
        worker = get_worker_info()
        seed = self._seed * 64 + (worker.id if worker else 0)
        scenes = MaskScenes(self._faces, self._textures, seed)
        while True:
            yield collate([scenes.scene() for _ in range(self._batch)])


def export_best(run: Path, testimony: dict[str, Any]) -> Path:
    """Write the best network of a run as ONNX with its manifest; returns its path."""
    kept = checkpoint.load(run / BEST)
    network = FaceMaskNet(FaceMaskNetSettings(**kept["face_mask_net"]))
    network.load_state_dict(kept["average"])
    told = {"trained_steps": int(kept["step"]), "validation": kept["validation"], **testimony}
    export_face_mask_net(network, run / EXPORTED, told)
    return run / EXPORTED


def _loop(
    trainer: FaceMaskTrainer,
    batches: Iterator[MaskTargets],
    validation: list[MaskTargets],
    run: Path,
    total_s: float,
    validate_every: int,
) -> None:
    best = _best_so_far(run)
    share, last = trainer.finished_share, time.monotonic()
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            loss = trainer.step(next(batches), share)
            now = time.monotonic()
            share, last = share + (now - last) / total_s, now
            progress.update(bar, completed=share)
            if trainer.finished_steps % 20 == 0:
                row = {"step": trainer.finished_steps, "share": round(share, 4), "loss": loss}
                _record(run, row)
            if trainer.finished_steps % validate_every == 0 or share >= 1.0:
                best = _validate(trainer, validation, run, best)
                last = time.monotonic()  # validating is not training


def _validate(
    trainer: FaceMaskTrainer, validation: list[MaskTargets], run: Path, best: float
) -> float:
    score = trainer.score(validation)
    log.info("step %d: %s", trainer.finished_steps, score)
    _record(run, {"step": trainer.finished_steps, "validation": asdict(score)})
    checkpoint.save(trainer.state_dict(), run / CHECKPOINT)
    if score.total > best:
        checkpoint.save({**trainer.shippable(), "validation": asdict(score)}, run / BEST)
    return max(score.total, best)


def _validation(faces: list[BareFace], batch: int) -> list[MaskTargets]:
    scenes = MaskScenes(faces, "val", VALIDATION_SEED)
    return [collate([scenes.scene() for _ in range(batch)]) for _ in range(VALIDATION_BATCHES)]


def _best_so_far(run: Path) -> float:
    if not (run / BEST).exists():
        return -float("inf")
    return MaskScore(**checkpoint.load(run / BEST)["validation"]).total


def _record(run: Path, row: dict[str, Any]) -> None:
    with open(run / CURVE, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
