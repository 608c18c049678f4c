"""One optimiser step after the other for FaceMaskNet, and its score on people it never saw."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.face_mask_net import FaceMaskNet, FaceMaskNetSettings
from training.checkpoint import CheckpointError
from training.face_masks.scenes import MaskScene
from training.headset_losses import mask_loss
from training.trainer import TrainingDiverged

LEAST_MASK_SHARE = 0.005  # of the crop: smaller ones have no meaningful overlap
ALARM_SHARE = 0.01  # of the crop, found where there is none: a false alarm


@dataclass(frozen=True)
class FaceMaskTrainerSettings:
    """How FaceMaskNet is trained."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up_share: float = 0.03  # of the whole run
    average_decay: float = 0.998
    gradient_limit: float = 5.0
    bfloat16: bool = True


@dataclass(frozen=True)
class MaskTargets:
    """A batch of scenes as tensors."""

    crop: Tensor  # (B,3,S,S) RGB uint8
    mask: Tensor  # (B,1,S,S) 0..1


@dataclass(frozen=True)
class MaskScore:
    """Scores on made-up scenes of people who were not trained on."""

    iou: float  # mean over scenes with a mask
    false_alarms: float  # share of scenes without one in which more than a speck was found

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        return self.iou - 0.2 * self.false_alarms


def collate(scenes: Sequence[MaskScene]) -> MaskTargets:
    """Stack scenes; colours become RGB."""
    images = np.stack([scene.image[..., ::-1].transpose(2, 0, 1) for scene in scenes])
    masks = np.stack([scene.mask for scene in scenes])[:, None]
    return MaskTargets(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(masks))


class FaceMaskTrainer:
    """Network, average of its weights, and optimiser."""

    def __init__(
        self,
        network: FaceMaskNetSettings,
        settings: FaceMaskTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with random weights."""
        self.settings, self.device = settings, device
        self.network = FaceMaskNet(network).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.finished_steps = 0
        self.finished_share = 0.0  # of the whole run

    def step(self, batch: MaskTargets, share: float) -> float:
        """Learn from one batch; `share` of the run is over, 0..1. Returns the loss.

        Raises:
            TrainingDiverged: the loss is not finite; the weights are those before the step.
        """
        self.finished_share = share
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self._rate(share)
        self.network.train()
        loss = mask_loss(self._run(self.network, batch), batch.mask.to(self.device))
        if not bool(torch.isfinite(loss)):
            raise TrainingDiverged(
                f"The loss is not finite after {self.finished_steps} steps; the last checkpoint "
                "is kept. Resume with a lower --learning-rate."
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_limit)
        self._optimiser.step()
        self.finished_steps += 1
        self._follow()
        return float(loss.detach())

    def score(self, batches: Sequence[MaskTargets]) -> MaskScore:
        """Score the averaged weights."""
        overlaps: list[float] = []
        alarms: list[float] = []
        for batch in batches:
            with torch.no_grad():
                found = self._run(self.average, batch).cpu() > 0
            truth = batch.mask > 0.5
            for said, real in zip(found, truth, strict=True):
                if float(real.float().mean()) >= LEAST_MASK_SHARE:
                    overlaps.append(float((said & real).sum() / (said | real).sum()))
                elif not bool(real.any()):
                    alarms.append(float(said.float().mean() > ALARM_SHARE))
        return MaskScore(_mean(overlaps), _mean(alarms))

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
            "face_mask_net": asdict(self.network.settings),
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
        """Take over the weights of a `shippable`, or the trunk of HeadsetNet's.

        Raises:
            CheckpointError: it is neither.
        """
        if "face_mask_net" not in state and "headset_net" not in state:
            raise CheckpointError("That is no checkpoint of FaceMaskNet or HeadsetNet.")
        weights = {name: value.float() for name, value in state["average"].items()}
        for network in (self.network, self.average):
            if "headset_net" in state:
                network.start_from_headset_net(weights)
            else:
                network.load_state_dict(weights)

    def _run(self, network: FaceMaskNet, batch: MaskTargets) -> Tensor:
        crop = batch.crop.to(self.device, memory_format=torch.channels_last).float() / 255
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            said: Tensor = network(crop)
        return said.float()

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


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
