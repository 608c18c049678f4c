"""Learning the wearer's own last layers, for so many minutes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.contract import MASK
from models.inpainting.evi_hrnet import EviHrnet, States
from training.finetuning.clip import WearerClip, divided, views_of
from training.finetuning.drawing import Drawing, Sequence
from training.finetuning.scoring import Score, filled_by, is_better, score_of
from training.loss_terms.pixels import decibels, l1_in_hole
from training.small_networks.average import follow

LAYERS = ("deconv1", "conv9", "deconv2", "conv10", "conv11", "smooth_head")
PEAK_RATE = 1e-3
WARM_UP_STEPS = 10
AVERAGE = 0.97
DECIBEL_WEIGHT = 0.01
LARGEST_GRADIENT = 1.0
CHUNK_FRAMES = 8  # per step; states go on within a sequence
NEW_SHARE = 0.35  # of the sequences is drawn anew, the rest was seen before
MOST_KEPT = 40  # sequences in memory, 5 MB each

Tell = Callable[[float, str], None]  # share of the time, what is being done


@dataclass(frozen=True)
class Finetuned:
    """What came of it."""

    network: EviHrnet
    steps: int
    base: Score  # of the network that was started from
    tuned: Score
    frames: int  # that were scored

    @property
    def is_kept(self) -> bool:
        """Whether it is better on what it never saw."""
        return is_better(self.tuned, self.base)


def finetune(
    base: EviHrnet,
    clip: WearerClip,
    seconds: float,
    *,
    layers: tuple[str, ...] = LAYERS,
    peak_rate: float = PEAK_RATE,
    seed: int = 0,
    tell: Tell = lambda share, words: None,
) -> Finetuned:
    """Teach the last layers on the first part of the clip, score on the held-back one.

    Args:
        base: where to start; it is not changed.
        clip: bare face, at the network's size.
        seconds: of training; scoring comes on top.
        layers: modules that learn; all others stay as they are.
        peak_rate: of Adam.
        seed: of what is drawn.
        tell: hears how far it is.

    Raises:
        UserError: the clip is too short.
    """
    known, held_back = divided(clip)
    network = copy.deepcopy(base).train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.split(".")[0] in layers)
    average, steps = _learn(network, Drawing(known, seed), seconds, peak_rate, tell)
    tell(1.0, "comparing with the network as it was")
    references = [known.reference(index) for index in views_of(known)]
    (before, after), masks = filled_by([base.eval(), average], held_back, references)
    base_score, tuned_score = (score_of(each, held_back, masks) for each in (before, after))
    return Finetuned(average, steps, base_score, tuned_score, len(held_back))


def _learn(
    network: EviHrnet, drawing: Drawing, seconds: float, peak_rate: float, tell: Tell
) -> tuple[EviHrnet, int]:
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learning, peak_rate)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    random = np.random.default_rng(1)
    kept: list[Sequence] = []
    begin_s, steps, share = time.monotonic(), 0, 0.0
    while share < 1:
        if not kept or random.random() < NEW_SHARE:
            kept = [*kept, drawing.draw()][-MOST_KEPT:]
            sequence = kept[-1]
        else:
            sequence = kept[int(random.integers(len(kept)))]
        states: States | None = None
        for inputs, truth in _chunks(sequence, next(network.parameters()).device):
            rate = peak_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (steps + 1) / WARM_UP_STEPS)
            states = _step(network, optimiser, inputs, truth, states)
            steps += 1
            follow(average, network, min(AVERAGE, steps / (steps + 5)))
            share = min(1.0, (time.monotonic() - begin_s) / seconds)
            if share >= 1:
                break
        tell(share, f"learning, {steps} steps")
    return average, steps


def _chunks(sequence: Sequence, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    frames = range(0, len(sequence.inputs), CHUNK_FRAMES)
    parts = [slice(begin, begin + CHUNK_FRAMES) for begin in frames]
    return [
        (
            torch.from_numpy(sequence.inputs[part]).float().to(device)[None],
            torch.from_numpy(sequence.truth[part]).float().to(device),
        )
        for part in parts
    ]


def _step(
    network: EviHrnet,
    optimiser: torch.optim.Optimizer,
    inputs: Tensor,
    truth: Tensor,
    states: States | None,
) -> States:
    fill, after = network(inputs, states)
    mask, drawn = inputs[0, :, MASK], fill[0]
    loss = l1_in_hole(drawn, truth, mask) + DECIBEL_WEIGHT * decibels(drawn, truth, mask)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(
        [p for p in network.parameters() if p.requires_grad], LARGEST_GRADIENT
    )
    optimiser.step()
    return [state.detach() for state in after]
