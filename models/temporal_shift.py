"""Online temporal shift: some channels of a feature map come from the frame before.

One definition serves clips (training) and single frames (live): a step is a clip of one frame with
the state of the last one. Lin, Gan, Han: TSM, ICCV 2019, section 3.4 (online); the learnable taps
follow Chang et al.: Learnable Gated Temporal Shift Module, BMVC 2019, section 3.2, kept causal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.contract import FOLD_DIVISOR


def fold_channels(channels: int) -> int:
    """How many of `channels` are taken from the past."""
    return channels // FOLD_DIVISOR


class OnlineTemporalShift(nn.Module):
    """Replace the first C/4 channels by a learnable mix of the previous and the current frame."""

    def __init__(self, channels: int) -> None:
        """Shift a quarter of `channels`; starts as a plain copy of the previous frame."""
        super().__init__()
        self.fold = fold_channels(channels)
        self.taps = nn.Parameter(torch.tensor([1.0, 0.0]))  # (previous, current)

    def forward(self, features: Tensor, state: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Shift `features` (B*T,C,H,W), T = `frames`; `state` (B,C/4,H,W) precedes the clip.

        Returns the shifted features and the state after the clip, shapes as given.
        """
        current, rest = features[:, : self.fold], features[:, self.fold :]
        if frames == 1:
            previous, after = state, current
        else:
            clip = current.reshape(-1, frames, *current.shape[1:])
            previous = torch.cat([state[:, None], clip[:, :-1]], 1).flatten(0, 1)
            after = clip[:, -1]
        mixed = self.taps[0] * previous + self.taps[1] * current
        return torch.cat([mixed, rest], 1), after
