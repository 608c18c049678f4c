"""One optimiser step after the other, and the average of the weights that they go through."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from training.run.checkpoint import CheckpointError
from training.small_networks.average import follow
from training.trainer import TrainingDiverged

NetworkT = TypeVar("NetworkT", bound=nn.Module)
LOWEST_RATE = 0.01  # of the peak: where the cosine ends


@dataclass(frozen=True)
class TrainerSettings:
    """How a small network is trained."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warm_up_share: float = 0.03  # of the whole run
    average_decay: float = 0.998
    gradient_limit: float = 5.0
    bfloat16: bool = True


class AveragedTrainer(Generic[NetworkT]):
    """Network, average of its weights, and optimiser; a subclass adds the losses."""

    def __init__(
        self,
        network: NetworkT,
        named: Mapping[str, Any],
        settings: TrainerSettings,
        device: torch.device,
    ) -> None:
        """Begin with `network` as it is; `named` tells its checkpoints from other networks'."""
        self.settings, self.device = settings, device
        self.network = network.to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.finished_steps = 0
        self.finished_share = 0.0  # of the whole run
        self._named = dict(named)
        self._optimise([(list(self.network.parameters()), settings.learning_rate)])

    def learn(self, losses: Mapping[str, Tensor], share: float) -> dict[str, float]:
        """Step down the sum of `losses`; `share` of the run is over, 0..1.

        Raises:
            TrainingDiverged: the sum or its gradients are not finite; the weights are those before
                the step.
        """
        self.finished_share = share
        total = torch.stack(list(losses.values())).sum()
        self._check_finite(total, "loss is")
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * _rate(share, self.settings.warm_up_share)
        self._optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        limit = self.settings.gradient_limit
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        # Else weights that are no numbers would be saved over the last good checkpoint.
        self._check_finite(norm, "gradients are")
        self._optimiser.step()
        self.finished_steps += 1
        young = (1 + self.finished_steps) / (10 + self.finished_steps)  # faster at first
        follow(self.average, self.network, min(self.settings.average_decay, young))
        return {name: float(value.detach()) for name, value in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on."""
        return {
            **self.shippable(),
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "share": self.finished_share,
        }

    def settings_told(self) -> dict[str, Any]:
        """Of the network and of its training, for people to read."""
        return {**self._named, "trainer": asdict(self.settings)}

    def shippable(self) -> dict[str, Any]:
        """What inference needs."""
        average = self.average.state_dict()
        return {**self._named, "average": average, "step": self.finished_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`.

        Raises:
            CheckpointError: it is of another network.
        """
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.finished_steps, self.finished_share = int(state["step"]), float(state["share"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                "The run's checkpoint is of another network; name another --run folder."
            ) from error

    def start_from(self, state: dict[str, Any]) -> None:
        """Take over the weights that fit from a `shippable`; the rest stays as it is.

        Raises:
            CheckpointError: none fits.
        """
        given, own = state.get("average", {}), self.network.state_dict()
        fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not fits:
            raise CheckpointError("The checkpoint to start from holds no weights of this network.")
        for network in (self.network, self.average):
            network.load_state_dict(fits, strict=False)

    def pixels(self, images: Tensor) -> Tensor:
        """Pictures (B,C,S,S) uint8 as the network takes them: 0..1, on its device."""
        return images.to(self.device, memory_format=torch.channels_last).float() / 255

    def precision(self) -> torch.autocast:
        """Within it, the network computes in bfloat16 where the settings say so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16)

    def _check_finite(self, value: Tensor, what: str) -> None:
        if not bool(torch.isfinite(value)):
            raise TrainingDiverged(
                f"The {what} not finite after {self.finished_steps} steps; the last checkpoint "
                "is kept. Resume with a lower --learning-rate."
            )

    def _optimise(self, groups: Sequence[tuple[list[nn.Parameter], float]]) -> None:
        """Train groups of parameters, each with its peak rate."""
        self._peaks = [peak for _, peak in groups]
        self._optimiser = torch.optim.AdamW(
            [{"params": parameters, "lr": peak} for parameters, peak in groups],
            weight_decay=self.settings.weight_decay,
        )


def _rate(share: float, warm_up_share: float) -> float:
    """Warm-up, then half a cosine."""
    warm = min(1.0, (share + 1e-4) / warm_up_share)
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return warm * (LOWEST_RATE + (1 - LOWEST_RATE) * cosine)
