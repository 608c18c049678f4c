"""What FaceMaskNet learns from a batch, and its score on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.face_masks.network import FaceMaskNet, FaceMaskNetSettings
from training.face_masks.scenes import MaskScene
from training.headset.losses import mask_loss
from training.run.checkpoint import CheckpointError
from training.small_networks.trainer import AveragedTrainer, TrainerSettings

LEAST_MASK_SHARE = 0.005  # of the crop: smaller ones have no meaningful overlap
ALARM_SHARE = 0.01  # of the crop, found where there is none: a false alarm


@dataclass(frozen=True)
class FaceMaskTrainerSettings(TrainerSettings):
    """How FaceMaskNet is trained."""


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


class FaceMaskTrainer(AveragedTrainer[FaceMaskNet]):
    """Trains FaceMaskNet."""

    def __init__(
        self,
        network: FaceMaskNetSettings,
        settings: FaceMaskTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with random weights."""
        super().__init__(FaceMaskNet(network), {"face_mask_net": asdict(network)}, settings, device)

    def step(self, batch: MaskTargets, share: float) -> float:
        """Learn from one batch; returns the loss. See `AveragedTrainer.learn`."""
        loss = mask_loss(self._run(self.network, batch), batch.mask.to(self.device))
        return self.learn({"loss": loss}, share)["loss"]

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
        with self.precision():
            said: Tensor = network(self.pixels(batch.crop))
        return said.float()


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
