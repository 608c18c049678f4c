"""Supervision of what CombCN draws before the fill: the frames at half size."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor, nn

from models.peers.comb_cn import CombCn
from training.adversaries.registry import JudgedClips
from training.loss_terms.pixels import l1_in_hole


def structure_loss(network: nn.Module, clips: JudgedClips) -> Tensor:
    """L1 over the hole between `network`'s last half-size frames and the true ones.

    Raises:
        ValueError: the network draws no such frames.
    """
    drawn = network.drawn_structure if isinstance(network, CombCn) else None
    if drawn is None:
        raise ValueError("losses.structure is for comb-cn only: set it to 0")
    truth, mask = (
        functional.avg_pool2d(part.flatten(0, 1), 2) for part in (clips.truth, clips.mask)
    )
    return l1_in_hole(drawn.float(), truth, (mask > 0).to(truth.dtype))
