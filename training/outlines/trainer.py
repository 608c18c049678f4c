"""What OutlineNet learns from a batch, and its score on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from models.outlines.contract import SOFT
from models.outlines.network import OutlineNet, OutlineNetSettings
from training.headset.losses import mask_loss
from training.outlines.scenes import OutlineScene
from training.small_networks.trainer import AveragedTrainer, TrainerSettings


@dataclass(frozen=True)
class OutlineTrainerSettings(TrainerSettings):
    """How OutlineNet is trained."""


@dataclass(frozen=True)
class OutlineTargets:
    """A batch of scenes as tensors."""

    look: Tensor  # (B,9,H,W) uint8
    mask: Tensor  # (B,1,H,W) 0..1


@dataclass(frozen=True)
class OutlineScore:
    """Scores on made-up scenes of people who were not trained on."""

    iou: float  # mean over scenes
    coarse_iou: float  # of the outline that the network was given

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by; higher is better."""
        return self.iou


def collate(scenes: Sequence[OutlineScene]) -> OutlineTargets:
    """Stack scenes."""
    looks = np.stack([scene.look for scene in scenes])
    masks = np.stack([scene.mask for scene in scenes])[:, None]
    return OutlineTargets(torch.from_numpy(looks), torch.from_numpy(masks))


class OutlineTrainer(AveragedTrainer[OutlineNet]):
    """Trains OutlineNet."""

    def __init__(
        self,
        network: OutlineNetSettings,
        settings: OutlineTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with the network that leaves the outline as it is."""
        super().__init__(OutlineNet(network), {"outline_net": asdict(network)}, settings, device)

    def step(self, batch: OutlineTargets, share: float) -> dict[str, float]:
        """Learn from one batch; see `AveragedTrainer.learn`."""
        loss = mask_loss(self._run(self.network, batch), batch.mask.to(self.device))
        return self.learn({"loss": loss}, share)

    def score(self, batches: Sequence[OutlineTargets]) -> OutlineScore:
        """Score the averaged weights."""
        found: list[Tensor] = []
        given: list[Tensor] = []
        for batch in batches:
            with torch.no_grad():
                said = self._run(self.average, batch).cpu() > 0
            truth = batch.mask > 0.5
            found.append(_overlaps(said, truth))
            given.append(_overlaps(batch.look[:, SOFT] > 127, truth))
        return OutlineScore(float(torch.cat(found).mean()), float(torch.cat(given).mean()))

    def _run(self, network: OutlineNet, batch: OutlineTargets) -> Tensor:
        with self.precision():
            said: Tensor = network(self.pixels(batch.look))
        return said.float()


def _overlaps(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of each of (B,1,H,W)."""
    both = (found & truth).sum((1, 2, 3)).float()
    either = (found | truth).sum((1, 2, 3)).float()
    return both / either.clamp_min(1)
