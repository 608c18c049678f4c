"""STN-GAN: face inpainting by a spatial network with temporal blocks grafted onto it.

After Wu, Singh, Kapoor: "From Image to Video Face Inpainting: Spatial-Temporal Nested GAN", WACV
2020: the generator of StarGAN (Choi et al., CVPR 2018: two strided convolutions, six residual
blocks, two transposed convolutions, instance norm) and, for video, 3D residual blocks in front of
the up-sampling layers that link each frame to the two before it. They start at zero, so that a
network trained on stills (SI) goes on as the video network (STN) from where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.contract import TensorContract, TensorSpec, recurrent_contract
from models.peers.checks import check_seen, check_size
from models.peers.peer import Peer, States, kept_background

PAST_FRAMES = 2  # every temporal convolution sees T = 3 frames: two of the past and its own
RESIDUAL_BLOCKS = 6
UP_LAYERS = 2


@dataclass(frozen=True)
class StnGanSettings:
    """What tells one STN-GAN from another."""

    width: int = 64
    size_px: int = 128
    seen: int = 5  # first channels of the contract: known RGB, mask, contours
    temporal_layers: int = 0  # up-sampling layers, from the last, with a 3D block in front; SI: 0

    def __post_init__(self) -> None:
        """Refuse sizes and counts that do not fit."""
        check_seen(self.seen)
        check_size(self.size_px, 4)
        if self.temporal_layers not in range(UP_LAYERS + 1):
            raise ValueError(f"temporal_layers must be 0, 1 or 2, got {self.temporal_layers}")

    @property
    def contract(self) -> TensorContract:
        """Tensor contract: each temporal convolution keeps the features of the last two frames."""
        first = UP_LAYERS - self.temporal_layers
        shapes = [
            (layer, PAST_FRAMES * (4 * self.width >> layer), (self.size_px >> 2) << layer)
            for layer in range(first, UP_LAYERS)
        ]
        states = [
            TensorSpec(f"state_link{layer + 1}_{part}", (1, channels, side, side))
            for layer, channels, side in shapes
            for part in ("first", "second")
        ]
        return recurrent_contract(self.size_px, states)


class TemporalConv(nn.Module):
    """3×3×3 convolution over a frame and the two before it, computed for that frame alone."""

    def __init__(self, channels: int) -> None:
        """Keep `channels`; the kernel's three times lie side by side in the input channels."""
        super().__init__()
        self.conv = nn.Conv2d((PAST_FRAMES + 1) * channels, channels, 3, padding=1)

    def forward(self, x: Tensor, state: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Convolve (B*T,C,H,W), T = `frames`, after a past (B,2C,H,W); returns both anew."""
        past = state.reshape(-1, PAST_FRAMES, *x.shape[1:])
        clip = torch.cat([past, x.reshape(-1, frames, *x.shape[1:])], 1)
        window = [clip[:, at : at + frames] for at in range(PAST_FRAMES + 1)]
        after = clip[:, frames:].flatten(1, 2)
        return self.conv(torch.cat(window, 2).flatten(0, 1)), after


class TemporalBlock(nn.Module):
    """Residual block of two temporal convolutions; the second starts at zero."""

    def __init__(self, channels: int, *, is_normed: bool = True) -> None:
        """Start as the identity; critics go without the norm."""
        super().__init__()
        self.first, self.second = TemporalConv(channels), TemporalConv(channels)
        self.norm = nn.InstanceNorm2d(channels, affine=True) if is_normed else nn.Identity()
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        """Consume two states from the front of `states`; return output and next states."""
        seen, first = self.first(x, states.pop(0), frames)
        change, second = self.second(torch.relu(self.norm(seen)), states.pop(0), frames)
        return x + change, [first, second]


class _Normed(nn.Sequential):
    def __init__(self, convolution: nn.Module, channels: int) -> None:
        norm = nn.InstanceNorm2d(channels, affine=True)
        super().__init__(convolution, norm, nn.ReLU(inplace=True))


class _ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.norm(self.second(self.first(x)))
        return changed


class StnGan(Peer):
    """The generator: spatial alone (`temporal_layers` 0, SI) or with temporal blocks (STN)."""

    settings: StnGanSettings

    def __init__(self, settings: StnGanSettings) -> None:
        """Build the layers of `settings`, untrained; temporal blocks start as the identity."""
        super().__init__()
        self.settings = settings
        w = settings.width
        self.down = nn.Sequential(
            _Normed(nn.Conv2d(settings.seen, w, 7, 1, 3, bias=False), w),
            _Normed(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), 2 * w),
            _Normed(nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False), 4 * w),
            *(_ResidualBlock(4 * w) for _ in range(RESIDUAL_BLOCKS)),
        )
        self.up = nn.ModuleList(
            _Normed(nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), c // 2)
            for c in (4 * w, 2 * w)
        )
        first = UP_LAYERS - settings.temporal_layers
        # Named by the layer that follows, so that a deeper network finds a shallower one's weights.
        self.links = nn.ModuleDict(
            {str(layer): TemporalBlock(4 * w >> layer) for layer in range(first, UP_LAYERS)}
        )
        self.draw = nn.Conv2d(w, 3, 7, 1, 3, bias=False)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Take trained weights; of a still network (SI), whose temporal blocks are missing, too.

        Raises ValueError when `weights` are of another network.
        """
        own = self.state_dict()
        missing = {name for name in own.keys() - weights.keys() if not name.startswith("links.")}
        try:
            if missing:
                raise ValueError(f"{len(missing)} tensors are missing, {min(missing)} first")
            self.load_state_dict({**own, **weights})
        except (RuntimeError, ValueError) as error:
            raise ValueError("the weights to start from are of another network") from error

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        pending, after = list(states), []
        x = self.down(inputs[:, : self.settings.seen] * 2 - 1)
        for layer, enlarge in enumerate(self.up):
            if str(layer) in self.links:
                x, following = self.links[str(layer)](x, pending, frames)
                after.extend(following)
            x = enlarge(x)
        drawn = torch.tanh(self.draw(x)) * 0.5 + 0.5
        return kept_background(inputs, drawn), after
