"""FaceMaskNet's training: what it starts from, and its score on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from models.face_masks.network import FaceMaskNet, FaceMaskNetSettings
from training.face_masks.scenes import MaskScene
from training.run.checkpoint import CheckpointError
from training.small_networks.masks import MaskTargets, MaskTrainer, overlaps
from training.small_networks.trainer import TrainerSettings

LEAST_MASK_SHARE = 0.005  # of the crop: smaller ones have no meaningful overlap
ALARM_SHARE = 0.01  # of the crop, found where there is none: a false alarm


@dataclass(frozen=True)
class FaceMaskTrainerSettings(TrainerSettings):
    """How FaceMaskNet is trained."""


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
    pictures = [scene.image[..., ::-1].transpose(2, 0, 1) for scene in scenes]
    return MaskTargets.of(pictures, [scene.mask for scene in scenes])


class FaceMaskTrainer(MaskTrainer[FaceMaskNet]):
    """Trains FaceMaskNet."""

    def __init__(
        self,
        network: FaceMaskNetSettings,
        settings: FaceMaskTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with random weights."""
        super().__init__(FaceMaskNet(network), {"face_mask_net": asdict(network)}, settings, device)

    def score(self, batches: Sequence[MaskTargets]) -> MaskScore:
        """Score the averaged weights."""
        shared: list[float] = []
        alarms: list[float] = []
        for batch in batches:
            found, truth = self.found(batch), batch.mask > 0.5
            size = truth.float().mean((1, 2, 3))
            shared += overlaps(found, truth)[size >= LEAST_MASK_SHARE].tolist()
            alarms += (found.float().mean((1, 2, 3)) > ALARM_SHARE)[size == 0].tolist()
        return MaskScore(_mean(shared), _mean(alarms))

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


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
