"""What EyeNet learns from a batch, and its readings of images it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from models.eyes.fit import EyeReading, fitted, reading_of
from models.eyes.network import ExportedEyeNet, EyeNet, EyeNetSettings, EyeOutputs
from training.eyes.losses import eye_losses
from training.eyes.samples import EyeSample
from training.eyes.targets import EyeTargets
from training.small_networks.batches import to_device
from training.small_networks.trainer import AveragedTrainer, TrainerSettings


@dataclass(frozen=True)
class EyeTrainerSettings(TrainerSettings):
    """How EyeNet is trained."""

    learning_rate: float = 3e-3
    weight_decay: float = 2e-2
    warm_up_share: float = 0.02


class EyeTrainer(AveragedTrainer[EyeNet]):
    """Trains EyeNet."""

    def __init__(
        self, network: EyeNetSettings, settings: EyeTrainerSettings, device: torch.device
    ) -> None:
        """Start with random weights."""
        super().__init__(EyeNet(network), {"eye_net": asdict(network)}, settings, device)

    def step(self, batch: EyeTargets, share: float) -> dict[str, float]:
        """Learn from one batch; see `AveragedTrainer.learn`."""
        wanted = to_device(batch, self.device)
        with self.precision():
            said: EyeOutputs = self.network(self.pixels(wanted.eye))
        return self.learn(eye_losses(said, wanted), share)

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
