"""Training a network that says of every pixel whether it belongs to what covers the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.mask_unet import MaskUNet
from training.headset.losses import mask_loss
from training.small_networks.trainer import AveragedTrainer

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
MaskNetT = TypeVar("MaskNetT", bound=MaskUNet)


@dataclass(frozen=True)
class MaskTargets:
    """A batch of scenes as tensors."""

    seen: Tensor  # (B,C,H,W) uint8, what the network is shown
    mask: Tensor  # (B,1,H,W) 0..1

    @classmethod
    def of(cls, seen: Sequence[ImageU8], masks: Sequence[Float32Array]) -> MaskTargets:
        """Stack pictures (C,H,W) and their masks (H,W)."""
        truth = np.stack(masks)[:, None]
        return cls(torch.from_numpy(np.stack(seen)), torch.from_numpy(truth))


class MaskTrainer(AveragedTrainer[MaskNetT]):
    """Trains a network that finds masks; a subclass scores it."""

    def step(self, batch: MaskTargets, share: float) -> dict[str, float]:
        """Learn from one batch; see `AveragedTrainer.learn`."""
        loss = mask_loss(self._said(self.network, batch), batch.mask.to(self.device))
        return self.learn({"loss": loss}, share)

    def found(self, batch: MaskTargets) -> Tensor:
        """Where the averaged weights find more mask than not, (B,1,H,W) bool."""
        with torch.no_grad():
            return self._said(self.average, batch).cpu() > 0

    def _said(self, network: MaskUNet, batch: MaskTargets) -> Tensor:
        with self.precision():
            said: Tensor = network(self.pixels(batch.seen))
        return said.float()


def overlaps(found: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of each of (B,1,H,W) bool; 0 where both are empty."""
    both = (found & truth).sum((1, 2, 3)).float()
    either = (found | truth).sum((1, 2, 3)).float()
    return both / either.clamp_min(1)
