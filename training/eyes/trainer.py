"""One optimiser step after the other for EyeNet, and its readings of images it never saw."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.eye_fit import EyeReading, fitted, reading_of
from models.eye_net import ExportedEyeNet, EyeNet, EyeNetSettings, EyeOutputs
from training.eyes.losses import eye_losses
from training.eyes.samples import EyeSample
from training.eyes.targets import EyeTargets
from training.trainer import TrainingDiverged


@dataclass(frozen=True)
class EyeTrainerSettings:
    """How EyeNet is trained."""

    learning_rate: float = 3e-3
    weight_decay: float = 2e-2
    warm_up_share: float = 0.02  # of the whole run
    average_decay: float = 0.998
    gradient_limit: float = 5.0
    bfloat16: bool = True


class EyeTrainer:
    """Network, average of its weights, and optimiser."""

    def __init__(
        self, network: EyeNetSettings, settings: EyeTrainerSettings, device: torch.device
    ) -> None:
        """Start with random weights."""
        self.settings = settings
        self.device = device
        self.network = EyeNet(network).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.finished_steps = 0
        self.finished_share = 0.0  # of the whole run

    def step(self, batch: EyeTargets, share: float) -> dict[str, float]:
        """Learn from one batch; `share` of the run is over, 0..1.

        Raises:
            TrainingDiverged: the loss is not finite; the weights are those before the step.
        """
        self.finished_share = share
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self._rate(share)
        self.network.train()
        wanted = _to_device(batch, self.device)
        losses = eye_losses(self._run(wanted.eye), wanted)
        total = torch.stack(list(losses.values())).sum()
        if not bool(torch.isfinite(total)):
            raise TrainingDiverged(
                f"The loss is not finite after {self.finished_steps} steps; the last checkpoint "
                "is kept. Resume with a lower --learning-rate."
            )
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_limit)
        self._optimiser.step()
        self.finished_steps += 1
        self._follow()
        return {name: float(value.detach()) for name, value in losses.items()}

    def read(self, samples: Sequence[EyeSample], batch: int = 64) -> list[EyeReading]:
        """What the averaged weights say of images as they are."""
        exported = ExportedEyeNet(self.average).eval()
        readings: list[EyeReading] = []
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            eyes = torch.from_numpy(np.stack([fitted(s.image) for s in part])[:, None])
            with torch.no_grad():
                said = exported(eyes.to(self.device).float() / 255)
            rows = zip(*(values.float().cpu().numpy() for values in said), strict=True)
            readings += [
                reading_of(row, *sample.image.shape[::-1])
                for row, sample in zip(rows, part, strict=True)
            ]
        return readings

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on."""
        return {
            **self.shippable(),
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "share": self.finished_share,
        }

    def shippable(self) -> dict[str, Any]:
        """What inference needs."""
        return {
            "eye_net": asdict(self.network.settings),
            "average": self.average.state_dict(),
            "step": self.finished_steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.finished_steps, self.finished_share = int(state["step"]), float(state["share"])

    def start_from(self, state: dict[str, Any]) -> None:
        """Take over the weights that fit from a `shippable`; the rest stays as it is."""
        for network in (self.network, self.average):
            network.load_state_dict(state["average"], strict=False)

    def _run(self, eye: Tensor) -> EyeOutputs:
        grey = eye.to(memory_format=torch.channels_last).float() / 255
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            said: EyeOutputs = self.network(grey)
        return said

    def _rate(self, share: float) -> float:
        """Warm-up, then half a cosine."""
        warm = min(1.0, (share + 1e-4) / self.settings.warm_up_share)
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))

    def _follow(self) -> None:
        """Move the average towards the weights; faster at first."""
        young = (1 + self.finished_steps) / (10 + self.finished_steps)
        decay = min(self.settings.average_decay, young)
        own, averaged = self.network.state_dict(), self.average.state_dict()
        with torch.no_grad():
            for name, value in averaged.items():
                if value.dtype.is_floating_point:
                    value.lerp_(own[name], 1 - decay)
                else:
                    value.copy_(own[name])


def _to_device(batch: EyeTargets, device: torch.device) -> EyeTargets:
    moved = {f.name: getattr(batch, f.name).to(device) for f in dataclasses.fields(batch)}
    return EyeTargets(**moved)
