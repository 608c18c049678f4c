"""What HeadsetNet learns from a batch, and its score on people it never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from models.headset.contract import FACE, HEADSET
from models.headset.network import MESH_VALUES, HeadsetNet, HeadsetNetSettings, HeadsetOutputs
from training.headset.losses import OUTER_CORNERS, HeadsetTargets, headset_losses
from training.small_networks.batches import to_device
from training.small_networks.masks import overlaps
from training.small_networks.trainer import AveragedTrainer, TrainerSettings


@dataclass(frozen=True)
class HeadsetTrainerSettings(TrainerSettings):
    """How HeadsetNet is trained."""

    warm_up_share: float = 0.02


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


class HeadsetTrainer(AveragedTrainer[HeadsetNet]):
    """Trains HeadsetNet."""

    def __init__(
        self,
        network: HeadsetNetSettings,
        settings: HeadsetTrainerSettings,
        device: torch.device,
    ) -> None:
        """Start with random weights."""
        super().__init__(HeadsetNet(network), {"headset_net": asdict(network)}, settings, device)

    def start_from_shapes(self, meshes: Tensor) -> None:
        """Give the mesh head the principal shapes of (N,478,3) labelled meshes to start with."""
        flat = meshes.reshape(-1, MESH_VALUES)
        mean = flat.mean(0)
        _, spread, shapes = torch.linalg.svd(flat - mean, full_matrices=False)
        basis = shapes * (spread / math.sqrt(len(flat)))[:, None]
        for network in (self.network, self.average):
            network.start_from_shapes(mean.to(self.device), basis.to(self.device))

    def step(self, batch: HeadsetTargets, share: float) -> dict[str, float]:
        """Learn from one batch; see `AveragedTrainer.learn`."""
        said = self._run(self.network, batch)
        return self.learn(headset_losses(said, to_device(batch, self.device)), share)

    def score(self, batches: Sequence[HeadsetTargets]) -> HeadsetScore:
        """Score the averaged weights."""
        shared: list[Tensor] = []
        errors: list[Tensor] = []
        verdicts: list[Tensor] = []
        for batch in batches:
            with torch.no_grad():
                said = self._run(self.average, batch)
            wanted = to_device(batch, self.device)
            shared.append(mask_overlaps(said, wanted))
            errors.append(mesh_errors(said, wanted))
            wrong = (said.presence.float() > 0) != (wanted.presence > 0.5)
            verdicts.append(wrong[:, [FACE, HEADSET]].float().mean(1))
        means = [float(torch.cat(values).mean()) for values in (shared, errors, verdicts)]
        return HeadsetScore(*means)

    def _run(self, network: HeadsetNet, batch: HeadsetTargets) -> HeadsetOutputs:
        with self.precision():
            said: HeadsetOutputs = network(self.pixels(batch.crop))
        return said


def mask_overlaps(said: HeadsetOutputs, wanted: HeadsetTargets) -> Tensor:
    """Intersection over union of each scene that shows a headset."""
    found, truth = said.mask.float() > 0, wanted.mask > 0.5
    shown = truth.sum((1, 2, 3)) >= 16
    return overlaps(found, truth)[shown]


def mesh_errors(said: HeadsetOutputs, wanted: HeadsetTargets) -> Tensor:
    """Mean distance in the picture over the eye span, one value per scene with a mesh."""
    mesh, truth = said.mesh[wanted.has_mesh].float(), wanted.mesh[wanted.has_mesh]
    corners = truth[:, OUTER_CORNERS, :2]
    span = (corners[:, 0] - corners[:, 1]).norm(dim=1).clamp_min(1e-3)
    error: Tensor = (mesh - truth)[..., :2].norm(dim=-1).mean(1) / span
    return error
