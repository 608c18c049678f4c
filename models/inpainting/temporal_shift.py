"""Temporal shift: some channels of a feature map come from the frame before, or also the one after.

One definition serves clips (training) and single frames (live): a step is a clip of one frame with
the state of the last one. Lin, Gan, Han: TSM, ICCV 2019, section 3.4 (online) and 3.3 (offline);
the learnable taps follow Chang et al.: Learnable Gated Temporal Shift Module, BMVC 2019,
section 3.2, kept causal for the online one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.contract import FOLD_DIVISOR

ShiftKind = Literal["online", "static", "offline", "none"]
SHIFT_KINDS: tuple[ShiftKind, ...] = ("online", "static", "offline", "none")


def fold_channels(channels: int) -> int:
    """How many of `channels` are taken from the past."""
    return channels // FOLD_DIVISOR


class OnlineTemporalShift(nn.Module):
    """Replace the first C/4 channels by a learnable mix of the previous and the current frame."""

    def __init__(self, channels: int, *, learnable: bool = True) -> None:
        """Shift a quarter of `channels`; starts as (or stays) a copy of the previous frame."""
        super().__init__()
        self.fold = fold_channels(channels)
        self.taps = nn.Parameter(torch.tensor([1.0, 0.0]), learnable)  # (previous, current)

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


class OfflineTemporalShift(nn.Module):
    """Take C/4 channels from the past and C/4 from the future, each with three learnable taps."""

    def __init__(self, channels: int) -> None:
        """Shift half of `channels`; starts as plain copies of the neighbouring frames."""
        super().__init__()
        self.fold = fold_channels(channels)
        # Rows: from the past, from the future; taps (previous, current, next).
        self.taps = nn.Parameter(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))

    def forward(self, features: Tensor, frames: int) -> Tensor:
        """Shift `features` (B*T,C,H,W), T = `frames`; zeros precede and follow the clip."""
        clip = features.reshape(-1, frames, *features.shape[1:])
        parts = []
        for group, taps in enumerate(self.taps):
            current = clip[:, :, group * self.fold : (group + 1) * self.fold]
            nothing = torch.zeros_like(current[:, :1])
            before = torch.cat([nothing, current[:, :-1]], 1)
            after = torch.cat([current[:, 1:], nothing], 1)
            parts.append(taps[0] * before + taps[1] * current + taps[2] * after)
        shifted = torch.cat([*parts, clip[:, :, 2 * self.fold :]], 2)
        return shifted.reshape(features.shape)


def temporal_shift(kind: ShiftKind, channels: int) -> nn.Module | None:
    """The shift of a kind, for `channels` channels; None for "none"."""
    if kind == "none":
        return None
    if kind == "offline":
        return OfflineTemporalShift(channels)
    return OnlineTemporalShift(channels, learnable=kind == "online")
