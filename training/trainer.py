"""One training step, and the state that steps carry on: networks, optimisers, average, states."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from models.contract import MASK
from models.inpainting import architectures
from models.peers.stn_gan import StnGan
from training.adversaries.kinds import ADVERSARIES
from training.adversaries.registry import JudgedClips, make_adversary
from training.feeding.pool import Chunk
from training.loss_terms.structure import structure_loss
from training.loss_terms.terms import LossTerms, Terms, weighted
from training.recipes.schema import Recipe
from training.run.processes import OneProcess, Processes

log = logging.getLogger(__name__)

LOWEST_RATE = 0.05  # where the cosine ends


class TrainingDiverged(Exception):
    """A loss is not a number; the last good checkpoint is kept."""


class Trainer:
    """Trains a recipe's network on chunks whose states follow each other."""

    def __init__(
        self, recipe: Recipe, terms: LossTerms, processes: Processes | None = None
    ) -> None:
        """Start untrained.

        Raises:
            ValueError: the recipe names a network, an adversary or a setting that does not exist.
        """
        self.recipe = recipe
        self.processes: Processes = processes or OneProcess()
        self.device = self.processes.device
        name, settings = recipe.network.architecture, recipe.network.settings
        self.generator = architectures.build(name, settings).to(self.device)
        self.average = architectures.build(name, settings).to(self.device)
        self.average.requires_grad_(False).eval().load_state_dict(self.generator.state_dict())
        self.inpainter = architectures.as_inpainter(self.generator)
        adversary = make_adversary(ADVERSARIES, recipe.adversary.kind, recipe.adversary.settings)
        self.adversary = None if adversary is None else adversary.to(self.device)
        self.terms = terms.to(self.device)
        self._lend_features()
        self.optimiser = self._adam(self.generator, 1.0)
        ratio = recipe.adversary.learning_rate_ratio
        self.judge_optimiser = self._adam(self.adversary, ratio) if self.adversary else None
        self.finished_steps, self.finished_share = 0, 0.0
        self.states: list[Tensor] | None = None
        if self.device.type == "cuda":
            order_channels_last(self.generator)
        # A CPU's 3D convolutions give gradients that are no numbers in bfloat16.
        exact = self.device.type == "cpu" and has_3d_convolutions(self.generator)
        self._bfloat16 = recipe.optimiser.bfloat16 and not exact
        self._run: Any = torch.compile(self.generator) if recipe.optimiser.compile else None

    def step(self, chunks: Sequence[Chunk]) -> Terms:
        """Learn from chunks that follow each other; returns the mean of every loss term.

        With them come the gradients' norms before they were limited, of all processes together.
        The values stay on the device, so that it need not wait for them: see `check`.
        """
        self._schedule()
        self.optimiser.zero_grad(set_to_none=True)
        seen: list[JudgedClips] = []
        found: list[Terms] = []
        for chunk in chunks:
            clips = self._filled(chunk)
            terms = self._generator_terms(clips, chunk)
            torch.autograd.backward(weighted(terms, self.recipe.losses) / len(chunks))
            found.append({name: value.detach() for name, value in terms.items()})
            seen.append(clips.cut_off())
        means = {name: torch.stack([t[name] for t in found]).mean() for name in found[0]}
        # Norms tell of weights that break while every loss is still a number.
        means["gradient_norm"] = self._descend(self.optimiser, self.generator)
        if "adversarial" in means:
            means["judge"], means["judge_gradient_norm"] = self._teach_judge(seen)
        self._follow_average()
        self.finished_steps += 1
        return means

    def check(self, losses: Terms) -> dict[str, float]:
        """The losses as numbers, which waits for the device.

        Raises:
            TrainingDiverged: one of them is not a number.
        """
        values = torch.stack(list(losses.values())).double().cpu().tolist()
        numbers = dict(zip(losses, values, strict=True))
        wrong = [name for name, value in numbers.items() if not math.isfinite(value)]
        if wrong:
            raise TrainingDiverged(
                f"The loss is not a number by step {self.finished_steps} ({', '.join(wrong)}); "
                "the last checkpoint is good. Start the same command with a smaller rate, as in "
                f"--set optimiser.learning_rate={self.recipe.optimiser.learning_rate / 3:.1g}."
            )
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds, the streams' states excepted."""
        judged = self.adversary is not None and self.judge_optimiser is not None
        on_gpu = self.device.type == "cuda"
        return {
            "step": self.finished_steps,
            "network": asdict(self.recipe.network),
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary": self.adversary.state_dict() if judged and self.adversary else {},
            "judge_optimiser": self.judge_optimiser.state_dict()
            if judged and self.judge_optimiser
            else {},
            "random": torch.get_rng_state(),
            "random_cuda": [torch.cuda.get_rng_state(self.device)] if on_gpu else [],
        }

    def shippable(self) -> dict[str, Any]:
        """What `unvisor export` needs: averaged weights, and the recipe that made them."""
        settings = architectures.settings_of(
            self.recipe.network.architecture, self.recipe.network.settings
        )
        return {
            "step": self.finished_steps,
            "average": self.average.state_dict(),
            "architecture": self.recipe.network.architecture,
            "settings": asdict(settings),
            "inputs": asdict(self.recipe.inputs),
            "recipe": asdict(self.recipe),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; raises ValueError when it is of another network."""
        try:
            self.generator.load_state_dict(state["generator"])
            self.average.load_state_dict(state["average"])
            if self.adversary is not None and self.judge_optimiser is not None:
                self.adversary.load_state_dict(state["adversary"])
                self.judge_optimiser.load_state_dict(state["judge_optimiser"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            made = state.get("network", {"architecture": "an earlier version's network"})
            raise ValueError(
                f"the checkpoint is of another network or adversary ({made}); give the --recipe "
                "and --set that it was made with, or another --run folder"
            ) from error
        self.finished_steps = int(state["step"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"][0], self.device)
        self.states = None

    def start_with(
        self, weights: dict[str, Tensor], judge: dict[str, Tensor] | None = None
    ) -> None:
        """Begin a new run from trained weights instead of from the prepared reference.

        `judge` are an adversary's; one of another shape begins untrained, as without them.
        """
        try:
            if isinstance(self.generator, StnGan):
                self.generator.start_from(weights)
            else:
                self.generator.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError("the weights to start from are of another network") from error
        self.average.load_state_dict(self.generator.state_dict())
        if self.adversary is not None and not self.adversary.goes_on_from(judge or {}):
            log.info("the adversary begins untrained: the checkpoint holds none of its shape")

    def _lend_features(self) -> None:
        """Let an adversary of features look through the losses' frozen network."""
        if self.adversary is not None and self.adversary.judges_features:
            if self.terms.features is None:
                raise ValueError(
                    f"adversary '{self.recipe.adversary.kind}' judges VGG16's features: give "
                    "losses.perceptual or losses.style a weight"
                )
            self.adversary.look_through(self.terms.features.features)

    def _adam(self, module: nn.Module, ratio: float) -> torch.optim.Optimizer:
        o = self.recipe.optimiser
        return torch.optim.Adam(
            [p for p in module.parameters() if p.requires_grad],
            o.learning_rate * ratio,
            (o.beta1, o.beta2),
            weight_decay=o.weight_decay,
            amsgrad=o.amsgrad,
            fused=self.device.type == "cuda",
        )

    def _filled(self, chunk: Chunk) -> JudgedClips:
        """Run the network on from where its streams are."""
        states = self.states
        if states is None:
            states = self.inpainter.initial_states(len(chunk.inputs))
        goes_on = (~chunk.begins).float()[:, None, None, None]
        with self._autocast():
            run = self._run or self.inpainter
            fill, after = run(chunk.inputs, [state * goes_on for state in states])
        self.states = [state.detach().float() for state in after]
        mask = chunk.inputs[:, :, MASK]
        composite = fill.float()
        if self.recipe.loss_settings.composited:
            composite = chunk.truth * (1 - mask) + composite * mask
        return JudgedClips(composite, chunk.truth, chunk.inputs)

    def _generator_terms(self, clips: JudgedClips, chunk: Chunk) -> Terms:
        with self._autocast():
            terms: Terms = self.terms(clips, chunk, self.finished_steps)
            if self.recipe.losses.structure:
                terms["structure"] = structure_loss(self.generator, clips)
        judged = self.finished_steps >= self.recipe.adversary.from_step
        if self.adversary is not None and judged and self.recipe.losses.adversarial:
            # The judge's own gradients of this are dropped before it learns.
            terms["adversarial"] = self.adversary.generator_loss(clips)
        return terms

    def _teach_judge(self, seen: Sequence[JudgedClips]) -> tuple[Tensor, Tensor]:
        """Mean loss of the last of the judge's steps, and the largest norm of its gradients."""
        assert self.adversary is not None
        assert self.judge_optimiser is not None
        norms = []
        for _ in range(self.adversary.judge_steps):
            self.judge_optimiser.zero_grad(set_to_none=True)
            losses = []
            for clips in seen:
                loss = self.adversary.judge_loss(clips)
                torch.autograd.backward(loss / len(seen))
                losses.append(loss.detach())
            norms.append(self._descend(self.judge_optimiser, self.adversary))
        return torch.stack(losses).mean(), torch.stack(norms).max()

    def _descend(self, optimiser: torch.optim.Optimizer, module: nn.Module) -> Tensor:
        """Step along the mean gradients of all processes; returns their norm."""
        self.processes.average_gradients(module)
        largest = self.recipe.optimiser.largest_gradient
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), largest)
        optimiser.step()
        return norm.detach()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16)

    def _schedule(self) -> None:
        """Linear warm-up, then constant or a cosine over the run's steps or time."""
        o, step = self.recipe.optimiser, self.finished_steps
        share = 1.0
        if o.schedule == "cosine":
            done = min(self.finished_share, 1.0)
            share = LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
        rate = o.learning_rate * min((step + 1) / max(o.warm_up_steps, 1), share)
        self._set_rate(self.optimiser, rate)
        if self.judge_optimiser is not None:
            self._set_rate(self.judge_optimiser, rate * self.recipe.adversary.learning_rate_ratio)

    @staticmethod
    def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def _follow_average(self) -> None:
        steps = self.finished_steps
        decay = min(self.recipe.optimiser.average_decay, (1 + steps) / (10 + steps))
        kept: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(kept, list(self.generator.parameters()), 1 - decay)
        for buffer, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            buffer.copy_(new)  # what norms count as they go is an average already


def order_channels_last(network: nn.Module) -> None:
    """Lay a network's weights out as a GPU's half precision convolutions want them.

    Those of 2D convolutions only: 3D ones (M-CSAM, CombCN) have no such layout.
    """
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def has_3d_convolutions(network: nn.Module) -> bool:
    """Whether a network looks at several frames, or channels, as at a volume."""
    return any(isinstance(part, nn.Conv3d | nn.ConvTranspose3d) for part in network.modules())
