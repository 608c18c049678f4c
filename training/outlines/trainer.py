"""OutlineNet's training: its score on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.outlines.contract import SOFT
from models.outlines.network import OutlineNet, OutlineNetSettings
from training.outlines.scenes import OutlineScene
from training.small_networks.masks import MaskTargets, MaskTrainer, overlaps
from training.small_networks.trainer import TrainerSettings


@dataclass(frozen=True)
class OutlineTrainerSettings(TrainerSettings):
    """How OutlineNet is trained."""


@dataclass(frozen=True)
class OutlineScore:
    """Scores on made-up scenes of people who were not trained on."""

    iou: float  # mean over scenes
    coarse_iou: float  # of the outline that the network was given

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        return self.iou


def collate(scenes: Sequence[OutlineScene]) -> MaskTargets:
    """Stack scenes."""
    return MaskTargets.of([scene.look for scene in scenes], [scene.mask for scene in scenes])


class OutlineTrainer(MaskTrainer[OutlineNet]):
    """Trains OutlineNet."""

    def __init__(
        self,
        network: OutlineNetSettings,
        settings: OutlineTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with the network that leaves the outline as it is."""
        super().__init__(OutlineNet(network), {"outline_net": asdict(network)}, settings, device)

    def score(self, batches: Sequence[MaskTargets]) -> OutlineScore:
        """Score the averaged weights."""
        found: list[Tensor] = []
        given: list[Tensor] = []
        for batch in batches:
            truth = batch.mask > 0.5
            found.append(overlaps(self.found(batch), truth))
            given.append(overlaps(batch.seen[:, SOFT] > 127, truth))
        return OutlineScore(float(torch.cat(found).mean()), float(torch.cat(given).mean()))
