"""One optimiser step after the other for HeadsetNet, and its score on people it never saw."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.headset_contract import FACE, HEADSET
from models.headset_net import MESH_VALUES, HeadsetNet, HeadsetNetSettings, HeadsetOutputs
from training.headset_losses import OUTER_CORNERS, HeadsetTargets, headset_losses
from training.trainer import TrainingDiverged


@dataclass(frozen=True)
class HeadsetTrainerSettings:
    """How HeadsetNet is trained."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up_share: float = 0.02  # of the whole run
    average_decay: float = 0.998
    gradient_limit: float = 5.0
    bfloat16: bool = True


@dataclass(frozen=True)
class HeadsetScore:
    """Scores on made-up scenes of people who were not trained on; see `score`."""

    mask_iou: float  # mean over scenes with a headset
    mesh_nme: float  # mean point error over the outer-eye-corner distance
    presence_error: float  # share of wrong face/headset verdicts at 0.5

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        return self.mask_iou - 3 * self.mesh_nme - self.presence_error


class HeadsetTrainer:
    """Network, average of its weights, and optimiser."""

    def __init__(
        self,
        network: HeadsetNetSettings,
        settings: HeadsetTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with random weights."""
        self.settings = settings
        self.device = device
        self.network = HeadsetNet(network).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.finished_steps = 0
        self.finished_share = 0.0  # of the whole run

    def start_from_shapes(self, meshes: Tensor) -> None:
        """Give the mesh head the principal shapes of (N,478,3) labelled meshes to start with."""
        flat = meshes.reshape(-1, MESH_VALUES)
        mean = flat.mean(0)
        _, spread, shapes = torch.linalg.svd(flat - mean, full_matrices=False)
        basis = shapes * (spread / math.sqrt(len(flat)))[:, None]
        for network in (self.network, self.average):
            network.start_from_shapes(mean.to(self.device), basis.to(self.device))

    def step(self, batch: HeadsetTargets, share: float) -> dict[str, float]:
        """Learn from one batch; `share` of the run is over, 0..1.

        Raises:
            TrainingDiverged: the loss is not finite; the weights are those before the step.
        """
        self.finished_share = share
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self._rate(share)
        self.network.train()
        losses = headset_losses(self._run(self.network, batch), to_device(batch, self.device))
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

    def score(self, batches: Sequence[HeadsetTargets]) -> HeadsetScore:
        """Score the averaged weights."""
        overlaps: list[Tensor] = []
        errors: list[Tensor] = []
        verdicts: list[Tensor] = []
        for batch in batches:
            with torch.no_grad():
                said = self._run(self.average, batch)
            wanted = to_device(batch, self.device)
            overlaps.append(mask_overlaps(said, wanted))
            errors.append(mesh_errors(said, wanted))
            wrong = (said.presence.float() > 0) != (wanted.presence > 0.5)
            verdicts.append(wrong[:, [FACE, HEADSET]].float().mean(1))
        means = [float(torch.cat(values).mean()) for values in (overlaps, errors, verdicts)]
        return HeadsetScore(*means)

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
            "headset_net": asdict(self.network.settings),
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

    def _run(self, network: HeadsetNet, batch: HeadsetTargets) -> HeadsetOutputs:
        crop = batch.crop.to(self.device, memory_format=torch.channels_last).float() / 255
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            said: HeadsetOutputs = network(crop)
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


def mask_overlaps(said: HeadsetOutputs, wanted: HeadsetTargets) -> Tensor:
    """Intersection over union of each scene that shows a headset."""
    found, truth = said.mask.float() > 0, wanted.mask > 0.5
    both = (found & truth).sum((1, 2, 3)).float()
    either = (found | truth).sum((1, 2, 3)).float()
    shown = truth.sum((1, 2, 3)) >= 16
    overlaps: Tensor = both[shown] / either[shown]
    return overlaps


def mesh_errors(said: HeadsetOutputs, wanted: HeadsetTargets) -> Tensor:
    """Mean distance in the picture over the eye span, one value per scene with a mesh."""
    mesh, truth = said.mesh[wanted.has_mesh].float(), wanted.mesh[wanted.has_mesh]
    corners = truth[:, OUTER_CORNERS, :2]
    span = (corners[:, 0] - corners[:, 1]).norm(dim=1).clamp_min(1e-3)
    error: Tensor = (mesh - truth)[..., :2].norm(dim=-1).mean(1) / span
    return error


def to_device(batch: HeadsetTargets, device: torch.device) -> HeadsetTargets:
    """The same batch on a device."""
    moved = {f.name: getattr(batch, f.name).to(device) for f in dataclasses.fields(batch)}
    return HeadsetTargets(**moved)
