"""Per frame: LGTSM's gated layers without the shift, so that no frame knows of another.

Like the gated networks for still images (Yu et al., ICCV 2019) it shows what time is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.contract import TensorContract, recurrent_contract
from models.peers.checks import check_seen, check_size
from models.peers.lgtsm import GatedSkeleton
from models.peers.peer import Peer, States


@dataclass(frozen=True)
class PerFrameSettings:
    """What tells one per-frame network from another."""

    width: int = 64
    size_px: int = 128
    seen: int = 5  # first channels of the contract: known RGB, mask, contours

    def __post_init__(self) -> None:
        """Refuse sizes that do not halve evenly."""
        check_seen(self.seen)
        check_size(self.size_px, 4)

    @property
    def contract(self) -> TensorContract:
        """Tensor contract; no states."""
        return recurrent_contract(self.size_px)


class PerFrame(Peer):
    """The network; each frame alone."""

    settings: PerFrameSettings

    def __init__(self, settings: PerFrameSettings) -> None:
        """Build the layers of `settings`, untrained."""
        super().__init__()
        self.settings = settings
        self.skeleton = GatedSkeleton(settings.width, settings.seen, "none")

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        drawn: tuple[Tensor, States] = self.skeleton(
            inputs[:, : self.settings.seen], states, frames
        )
        return drawn
