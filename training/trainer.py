"""One training step, and the state that steps carry on: networks, optimisers, average, states."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.contract import MASK
from models.evi_hrnet import EviHrnet, NetworkSettings, States
from training.discriminator import PatchDiscriminator
from training.losses import (
    LossWeights,
    PerceptualLoss,
    decibels,
    hinge_discriminator,
    hinge_generator,
    l1_in_hole,
)
from training.streams import Chunk

Losses = dict[str, float]
PERCEPTUAL_STRIDE = 8


@dataclass(frozen=True)
class TrainerSettings:
    """Optimisation."""

    learning_rate: float = 1e-3
    warm_up_steps: int = 50
    total_steps: int = 2000  # the cosine schedule ends here
    adversarial_from_step: int = 600
    average_decay: float = 0.995  # of the exponential moving average that is shipped
    largest_gradient: float = 1.0
    bfloat16: bool = False


class TrainingDiverged(Exception):
    """A loss is not a number; the last good checkpoint is kept."""


class Trainer:
    """Trains a network on chunks whose states follow each other."""

    def __init__(
        self,
        network: NetworkSettings,
        settings: TrainerSettings,
        weights: LossWeights,
        perceptual: PerceptualLoss | None,
        device: torch.device,
    ) -> None:
        """Start untrained; `perceptual` None leaves that term out."""
        self.settings, self.weights, self.device = settings, weights, device
        self.generator = EviHrnet(network).to(device)
        self.average = EviHrnet(network).to(device).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        self.discriminator = PatchDiscriminator().to(device)
        self.perceptual = None if perceptual is None else perceptual.to(device)
        rate = settings.learning_rate
        self.optimiser = torch.optim.Adam(self.generator.parameters(), rate)
        self.judge_optimiser = torch.optim.Adam(self.discriminator.parameters(), rate / 2)
        self.finished_steps = 0
        self._states: States | None = None

    def step(self, chunk: Chunk) -> Losses:
        """Learn from one chunk; returns the value of every loss term."""
        self._schedule()
        inputs = torch.from_numpy(chunk.inputs).to(self.device)
        truth = torch.from_numpy(chunk.truth).to(self.device).flatten(0, 1)
        states = self._continued(chunk, len(inputs))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            fill, after = self.generator(inputs, states)
        self._states = [state.detach().float() for state in after]
        mask = inputs.flatten(0, 1)[:, MASK]
        fill = fill.flatten(0, 1).float()
        composite = truth * (1 - mask) + fill * mask
        terms = self._generator_terms(fill, composite, truth, mask)
        loss = sum(value * getattr(self.weights, name) for name, value in terms.items())
        if not math.isfinite(float(torch.as_tensor(loss).detach())):
            raise TrainingDiverged(
                f"The loss is not a number after step {self.finished_steps}; the last checkpoint "
                "is good. Resume from it with a smaller --learning-rate."
            )
        self._descend(self.optimiser, self.generator, loss)
        losses = {name: float(value.detach()) for name, value in terms.items()}
        if "adversarial" in terms:
            losses["judge"] = self._teach_judge(composite.detach(), truth, mask)
        self._follow_average()
        self.finished_steps += 1
        return losses

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "step": self.finished_steps,
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "judge_optimiser": self.judge_optimiser.state_dict(),
        }

    def shippable(self) -> dict[str, Any]:
        """What `unvisor export` needs: averaged weights and the settings that made them."""
        return {
            "step": self.finished_steps,
            "average": self.average.state_dict(),
            "settings": asdict(self.generator.settings),
            "training": {"optimisation": asdict(self.settings), "losses": asdict(self.weights)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; raises ValueError when it is of another network."""
        try:
            self.generator.load_state_dict(state["generator"])
            self.average.load_state_dict(state["average"])
            self.discriminator.load_state_dict(state["discriminator"])
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                "the checkpoint is of another network; give the same --width and --size-px, or "
                "another --run folder"
            ) from error
        self.optimiser.load_state_dict(state["optimiser"])
        self.judge_optimiser.load_state_dict(state["judge_optimiser"])
        self.finished_steps = int(state["step"])
        self._states = None

    def start_with(self, weights: dict[str, Tensor]) -> None:
        """Begin a new run from trained weights instead of from the prepared reference."""
        try:
            self.generator.load_state_dict(weights)
            self.average.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError("the weights to start from are of another network") from error

    def _continued(self, chunk: Chunk, streams: int) -> States:
        if self._states is None:
            return self.generator.initial_states(streams)
        goes_on = torch.from_numpy(~chunk.begins).to(self.device).float()[:, None, None, None]
        return [state * goes_on for state in self._states]

    def _generator_terms(
        self, fill: Tensor, composite: Tensor, truth: Tensor, mask: Tensor
    ) -> dict[str, Tensor]:
        terms = {"l1": l1_in_hole(fill, truth, mask), "decibel": decibels(fill, truth, mask)}
        if self.perceptual is not None:
            # An eighth of the frames, in turn: VGG16 costs more than the network it teaches.
            some = slice(self.finished_steps % PERCEPTUAL_STRIDE, None, PERCEPTUAL_STRIDE)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
                terms["perceptual"] = self.perceptual(composite[some], truth[some], mask[some])
        if self.finished_steps >= self.settings.adversarial_from_step:
            terms["adversarial"] = hinge_generator(
                self.discriminator(torch.cat([composite, mask], 1))
            )
        return terms

    def _teach_judge(self, fake: Tensor, real: Tensor, mask: Tensor) -> float:
        scores = self.discriminator(
            torch.cat([torch.cat([real, mask], 1), torch.cat([fake, mask], 1)])
        )
        loss = hinge_discriminator(*scores.chunk(2))
        self._descend(self.judge_optimiser, self.discriminator, loss)
        return float(loss.detach())

    def _descend(
        self, optimiser: torch.optim.Optimizer, module: torch.nn.Module, loss: Any
    ) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), self.settings.largest_gradient)
        optimiser.step()

    def _schedule(self) -> None:
        """Linear warm-up, then a cosine down to a twentieth."""
        s, step = self.settings, self.finished_steps
        progress = min(step / max(s.total_steps, 1), 1.0)
        cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))
        rate = s.learning_rate * min((step + 1) / s.warm_up_steps, cosine)
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def _follow_average(self) -> None:
        decay = min(
            self.settings.average_decay, (1 + self.finished_steps) / (10 + self.finished_steps)
        )
        for kept, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
