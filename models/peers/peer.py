"""What every peer has in common: clips and single frames through one definition, states as values.

A peer is used like `models.inpainting.evi_hrnet.EviHrnet`. Which inputs it may learn from
(reference, landmarks) is its recipe's choice; `seen` channels of the contract enter its first
layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from models.contract import KNOWN_RGB, MASK

States = list[Tensor]


class Peer(nn.Module, ABC):
    """A network that fills clips; `step` is a clip of one frame with the states of the last one."""

    is_online: bool = True
    settings: Any  # a frozen dataclass with a `contract`

    def initial_states(self, batch: int) -> States:
        """Zero states, as at the start of a session."""
        like = next(self.parameters())
        shapes = [state.shape[1:] for state in self.settings.contract.states]
        return [like.new_zeros((batch, *shape)) for shape in shapes]

    def forward(self, clips: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Fill clips (B,T,8,S,S) in 0..1; returns (B,T,3,S,S) and the states after the clip."""
        batch, frames = clips.shape[:2]
        before = self.initial_states(batch) if states is None else states
        fill, after = self._run(clips.flatten(0, 1), before, frames)
        return fill.reshape(batch, frames, *fill.shape[1:]), after

    def step(self, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        """Fill one frame (B,8,S,S); returns (B,3,S,S) and the next states.

        Raises TypeError for a network that needs the frames to come.
        """
        if not self.is_online:
            raise TypeError(
                f"{type(self).__name__} sees whole clips; it cannot step frame by frame"
            )
        return self._run(inputs, states, 1)

    @abstractmethod
    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        """Fill (B*T,8,S,S) of clips of `frames` frames."""


def kept_background(inputs: Tensor, drawn: Tensor) -> Tensor:
    """`drawn` (N,3,S,S) in the hole, the known pixels of `inputs` (N,8,S,S) elsewhere, exactly."""
    return torch.where(inputs[:, MASK] > 0.5, drawn, inputs[:, KNOWN_RGB])
