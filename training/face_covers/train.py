"""`unvisor train-cover`: train CoverNet on made-up covers over bare faces, and export it."""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from models.cover_contract import REGIONS
from models.cover_net import CoverNet
from models.export import export_cover_net
from streaming.errors import UserError
from training.bare_faces import BareFace, clip_faces, portraits
from training.face_covers.continuation import continued
from training.face_covers.samples import prepared, sample
from training.faces import FaceClips, FaceDataError

log = logging.getLogger(__name__)

VALIDATION_SAMPLES = 1024
VALIDATION_SEED = 99
STATISTICS_SAMPLES = 512  # that tell a continued network what its layers see
FALSE_ALARMS = 0.01  # of the bare regions: how many covered ones are found at this rate is scored
AVERAGE = 0.99  # of the weights: what is exported is their moving average
WARM_UP_SHARE = 0.05
WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class Batch:
    """Samples side by side."""

    crops: Tensor  # (B,3,S,S)
    covered: Tensor  # (B,R) 1 = covered
    weight: Tensor  # (B,R) 0 = may be called either


class CoverBatches(IterableDataset[Batch]):
    """Endless batches of new samples."""

    def __init__(self, faces: list[BareFace], batch: int, seed: int) -> None:
        """Each worker process draws with a seed of its own; `faces` are prepared."""
        self._faces, self._batch, self._seed = faces, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        """Go on forever."""
        cv2.setNumThreads(1)
        worker = get_worker_info()
        random = np.random.default_rng([self._seed, worker.id if worker else 0])
        while True:
            yield draw(self._faces, self._batch, random)


def draw(faces: list[BareFace], count: int, random: np.random.Generator) -> Batch:
    """`count` new samples."""
    drawn = [sample(faces[int(i)], random) for i in random.integers(0, len(faces), count)]
    return Batch(
        torch.from_numpy(np.stack([each.crop for each in drawn])),
        torch.from_numpy(np.stack([each.covered for each in drawn])),
        torch.from_numpy(np.stack([each.weight for each in drawn])),
    )


def train_cover(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    output: Annotated[Path, typer.Option(help="ONNX file to write; NAME.json goes beside it.")],
    stills: Annotated[Path | None, typer.Option(help="Folder of portrait photos.")] = None,
    minutes: Annotated[float, typer.Option(help="Length of the training.", min=0.01)] = 10,
    batch: Annotated[int, typer.Option(help="Samples per step.", min=2)] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 3e-3,
    every: Annotated[int, typer.Option(help="Take every n-th frame of the clips.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of samples and initial weights.")] = 0,
    limit_clips: Annotated[int, typer.Option(help="Use only so many clips; 0 = all.")] = 0,
    start_from: Annotated[
        Path | None, typer.Option(help="Go on with this exported network instead of anew.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw samples.", min=1)] = 1,
) -> None:
    """Train the network that notices hands, hair, masks and glare over a face."""
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    try:
        clips = FaceClips(data)
        faces = [prepared(face) for face in clip_faces(clips, "train", every, limit_clips)]
        if stills:
            faces += [prepared(face) for face in portraits(stills, held_back=False)]
        val_faces = [prepared(face) for face in clip_faces(clips, "val", every, limit_clips)]
    except FaceDataError as error:
        raise UserError(str(error)) from error
    network = CoverNet()
    if start_from is not None:
        known = draw(faces, STATISTICS_SAMPLES, np.random.default_rng(seed))
        network = continued(start_from, known.crops)
    batches = DataLoader(CoverBatches(faces, batch, seed), batch_size=None, num_workers=workers)
    network, steps = _fit(network, batches, learning_rate, minutes * 60)
    scores = validate(network, val_faces)
    log.info("after %d steps: %s", steps, scores)
    testimony = {
        "trained_steps": steps,
        "validation": scores,
        "training": {"faces": len(faces), "batch": batch, "every": every, "minutes": minutes},
    }
    if start_from is not None:
        testimony["started_from_sha256"] = hashlib.sha256(start_from.read_bytes()).hexdigest()
    export_cover_net(network, output, testimony)
    typer.echo(f"{output} written after {steps} steps.")


def validate(network: CoverNet, faces: list[BareFace]) -> dict[str, float]:
    """Per region the share of covered ones found at 1 % of false alarms, and their mean."""
    random = np.random.default_rng(VALIDATION_SEED)
    batch = draw(faces, VALIDATION_SAMPLES, random)
    network.eval()
    with torch.no_grad():
        logits = network(batch.crops)
    found = {}
    for index, name in enumerate(REGIONS):
        counts = batch.weight[:, index] > 0
        said, truth = logits[counts, index], batch.covered[counts, index] > 0
        if truth.any() and (~truth).any():
            limit = torch.quantile(said[~truth], 1 - FALSE_ALARMS)
            found[name] = round(float((said[truth] > limit).float().mean()), 4)
    return {**found, "mean": round(float(np.mean(list(found.values()))), 4)} if found else {}


def _fit(
    network: CoverNet, loader: DataLoader[Batch], peak: float, total_s: float
) -> tuple[CoverNet, int]:
    """Train for a time; returns the averaged network and the steps."""
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=WEIGHT_DECAY)
    batches = iter(loader)
    begin, steps, share = time.monotonic(), 0, 0.0
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            for group in optimiser.param_groups:
                group["lr"] = peak * min(share / WARM_UP_SHARE + 0.02, 1 - 0.98 * share)
            loss = _step(network.train(), next(batches), optimiser)
            steps += 1
            _follow(average, network, min(AVERAGE, steps / (steps + 10)))
            share = (time.monotonic() - begin) / total_s
            progress.update(bar, completed=share)
            if steps % 50 == 0:
                log.info("step %d: loss %.3f", steps, loss)
    return average, steps


def _step(network: CoverNet, batch: Batch, optimiser: torch.optim.Optimizer) -> float:
    logits = network(batch.crops)
    losses = functional.binary_cross_entropy_with_logits(logits, batch.covered, batch.weight)
    optimiser.zero_grad()
    losses.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(losses.detach())


@torch.no_grad()
def _follow(average: CoverNet, network: CoverNet, keep: float) -> None:
    state = network.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(state[name], 1 - keep)
        else:
            value.copy_(state[name])
