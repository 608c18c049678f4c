"""`unvisor train-cover`: train CoverNet on made-up covers over bare faces, and export it."""

from __future__ import annotations

import copy
import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn import functional

from models.covers.contract import REGIONS
from models.covers.network import CoverNet
from models.export import export_cover_net
from training.face_covers.continuation import continued
from training.face_covers.samples import prepared, sample
from training.scenes.bare_faces import BareFace, faces_to_learn
from training.small_networks import options
from training.small_networks.average import follow
from training.small_networks.batches import EndlessBatches, drawn_apart
from training.small_networks.loop import steps_for
from training.trainer import TrainingDiverged

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


def _batches(faces: list[BareFace], batch: int, seed: int) -> Iterator[Batch]:
    """New samples of prepared faces, forever."""
    random = np.random.default_rng(seed)
    while True:
        yield draw(faces, batch, random)


def draw(faces: list[BareFace], count: int, random: np.random.Generator) -> Batch:
    """`count` new samples."""
    drawn = [sample(faces[int(i)], random) for i in random.integers(0, len(faces), count)]
    return Batch(
        torch.from_numpy(np.stack([each.crop for each in drawn])),
        torch.from_numpy(np.stack([each.covered for each in drawn])),
        torch.from_numpy(np.stack([each.weight for each in drawn])),
    )


def train_cover(
    data: options.Clips,
    output: Annotated[Path, typer.Option(help="ONNX file to write; NAME.json goes beside it.")],
    stills: options.Stills = None,
    minutes: Annotated[float, typer.Option(help="Length of the training.", min=0.01)] = 10,
    batch: Annotated[int, typer.Option(help="Samples per step.", min=2)] = 64,
    learning_rate: options.LearningRate = 3e-3,
    every: options.Every = 8,
    seed: Annotated[int, typer.Option(help="Seed of samples and initial weights.")] = 0,
    limit_clips: options.LimitClips = 0,
    start_from: Annotated[
        Path | None, typer.Option(help="Go on with this exported network instead of anew.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw samples.", min=1)] = 1,
) -> None:
    """Train the network that notices hands, hair, masks and glare over a face."""
    options.prepared_device(seed)
    with options.failing_in_a_sentence():
        parts = faces_to_learn(data, stills, every, limit_clips)
        faces, val_faces = ([prepared(face) for face in part] for part in parts)
    network = CoverNet()
    if start_from is not None:
        known = draw(faces, STATISTICS_SAMPLES, np.random.default_rng(seed))
        network = continued(start_from, known.crops)
    batches = drawn_apart(EndlessBatches(partial(_batches, faces, batch), seed), workers)
    with options.failing_in_a_sentence():
        network, steps = _fit(network, batches, learning_rate, minutes)
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
    network: CoverNet, batches: Iterator[Batch], peak: float, minutes: float
) -> tuple[CoverNet, int]:
    """Train for a time; returns the averaged network and the steps.

    Raises:
        TrainingDiverged: a loss or its gradients are not finite.
    """
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=peak, weight_decay=WEIGHT_DECAY)
    steps = 0

    def step(share: float) -> dict[str, float]:
        nonlocal steps
        for group in optimiser.param_groups:
            group["lr"] = peak * min(share / WARM_UP_SHARE + 0.02, 1 - 0.98 * share)
        loss, is_steady = _step(network.train(), next(batches), optimiser)
        if not (math.isfinite(loss) and is_steady):
            what = "gradients are" if math.isfinite(loss) else "loss is"
            raise TrainingDiverged(
                f"The {what} not finite after {steps} steps; nothing was written. Start again "
                "with a lower --learning-rate."
            )
        steps += 1
        follow(average, network, min(AVERAGE, steps / (steps + 10)))
        return {"loss": loss}

    def tell(_: float, losses: Mapping[str, float]) -> None:
        if steps % 50 == 0:
            log.info("step %d: loss %.3f", steps, losses["loss"])

    steps_for(minutes, 0.0, step, tell)
    return average, steps


def _step(network: CoverNet, batch: Batch, optimiser: torch.optim.Optimizer) -> tuple[float, bool]:
    """Learn from a batch; returns its loss, and whether all gradients were finite."""
    logits = network(batch.crops)
    losses = functional.binary_cross_entropy_with_logits(logits, batch.covered, batch.weight)
    optimiser.zero_grad()
    torch.autograd.backward(losses)
    slopes = [weight.grad for weight in network.parameters() if weight.grad is not None]
    optimiser.step()
    return float(losses.detach()), all(bool(torch.isfinite(slope).all()) for slope in slopes)
