"""`unvisor train-eyes`: train EyeNet on real and simulated eye images; resumable."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer
from rich.progress import Progress
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from models.eye_net import EyeNetSettings
from streaming.errors import UserError
from training import checkpoint
from training.eyes.drawing import EyeDraw, training_eyes
from training.eyes.samples import EyeSample
from training.eyes.scores import eye_score, plain
from training.eyes.targets import EyeTargets
from training.eyes.trainer import EyeTrainer, EyeTrainerSettings
from training.faces import FaceClips
from training.trainer import TrainingDiverged

log = logging.getLogger(__name__)

CHECKPOINT, BEST, CURVE, SETTINGS = "last.pt", "best.pt", "curve.jsonl", "settings.json"
VALIDATED = 1500  # images of each kind at most


def train_eyes(
    data: Annotated[Path, typer.Option(help="Folder of near-eye images (docs/DATA.md).")],
    faces: Annotated[Path, typer.Option(help="Folder of face clips for simulated eyes.")],
    run: Annotated[Path, typer.Option(help="Folder of this run; an unfinished run goes on.")],
    minutes: Annotated[float, typer.Option(help="Length of the whole run.", min=0.01)] = 40,
    batch: Annotated[int, typer.Option(help="Images per step.", min=2)] = 48,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 3e-3,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 6,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint whose weights a new run starts with.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw images.", min=0)] = 0,
    validate_every: Annotated[float, typer.Option(help="Seconds between validations.")] = 120,
    bfloat16: Annotated[bool, typer.Option(help="Mixed precision.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of images and initial weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
) -> None:
    """Train the network that reads eye cameras; start the same command again to resume.

    The schedule follows the time trained, so that a busy machine ends in fewer steps, not halfway.
    """
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = EyeTrainerSettings(learning_rate=learning_rate, bfloat16=bfloat16)
    clips = FaceClips(faces)
    samples = training_eyes(data, clips, "train", every, seed, limit_clips)
    validation = training_eyes(data, clips, "val", 2 * every, seed, limit_clips)
    trainer = EyeTrainer(EyeNetSettings(), settings, device)
    try:
        if (run / CHECKPOINT).exists():
            trainer.load_state_dict(checkpoint.load(run / CHECKPOINT))
            log.info("resuming %s at step %d", run, trainer.finished_steps)
        else:
            _write_settings(run, trainer, data=str(data), images=len(samples), seed=seed)
            if start_from is not None:
                trainer.start_from(checkpoint.load(start_from))
        draws = EyeBatches(samples, batch, seed + trainer.finished_steps)
        loader = DataLoader(draws, batch_size=None, num_workers=workers)
        _loop(trainer, iter(loader), by_kind(validation), run, minutes * 60, validate_every)
    except (checkpoint.CheckpointError, TrainingDiverged) as error:
        raise UserError(str(error)) from error


class EyeBatches(IterableDataset[EyeTargets]):
    """Endless batches of eye images."""

    def __init__(self, samples: Sequence[EyeSample], batch: int, seed: int) -> None:
        """Each worker process draws with a seed of its own."""
        self._samples, self._batch, self._seed = samples, batch, seed

    def __iter__(self) -> Iterator[EyeTargets]:
        """Go on forever."""
        cv2.setNumThreads(1)
        worker = get_worker_info()
        draw = EyeDraw(self._samples, self._batch, self._seed * 64 + (worker.id if worker else 0))
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


def _loop(
    trainer: EyeTrainer,
    batches: Iterator[EyeTargets],
    validation: dict[str, list[EyeSample]],
    run: Path,
    total_s: float,
    validate_every_s: float,
) -> None:
    best = _best_so_far(run)
    last = validated = time.monotonic()
    share = trainer.finished_share
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            losses = trainer.step(next(batches), share)
            now = time.monotonic()
            share, last = share + (now - last) / total_s, now
            trainer.finished_share = share
            progress.update(bar, completed=share)
            if trainer.finished_steps % 50 == 0:
                _record(run, {"step": trainer.finished_steps, "share": round(share, 4), **losses})
            if now - validated >= validate_every_s or share >= 1.0:
                best = _validate(trainer, validation, run, best)
                last = validated = time.monotonic()  # validating is not training


def _validate(
    trainer: EyeTrainer, validation: dict[str, list[EyeSample]], run: Path, best: float
) -> float:
    scores = {kind: eye_score(found, trainer.read(found)) for kind, found in validation.items()}
    total = sum(score.total for score in scores.values())
    said = {kind: plain(score) for kind, score in scores.items()}
    log.info("step %d: %.4f %s", trainer.finished_steps, total, said)
    _record(run, {"step": trainer.finished_steps, "total": total, "validation": said})
    checkpoint.save(trainer.state_dict(), run / CHECKPOINT)
    if total > best:
        kept = {**trainer.shippable(), "validation": said, "total": total}
        checkpoint.save(kept, run / BEST)
    return max(total, best)


def _best_so_far(run: Path) -> float:
    if not (run / BEST).exists():
        return -float("inf")
    return float(checkpoint.load(run / BEST)["total"])


def _write_settings(run: Path, trainer: EyeTrainer, **more: Any) -> None:
    run.mkdir(parents=True, exist_ok=True)
    parts = {"network": asdict(trainer.network.settings), "trainer": asdict(trainer.settings)}
    (run / SETTINGS).write_text(json.dumps({**parts, **more}, indent=1) + "\n")


def _record(run: Path, row: dict[str, Any]) -> None:
    with open(run / CURVE, "a") as file:
        file.write(json.dumps(row) + "\n")
