"""EVI-HRnet: recurrent inpainting of a face, one frame in, one frame out.

Gated convolutions (Yu et al., ICCV 2019) with an online temporal shift on the feature path, a
dilated middle and self-attention (Zhang et al.: SAGAN, ICML 2019), after Ghorbani Lohesara et al.,
2023. The geometry of the layers is that of LGTSM's generator; up-sampling is bilinear.

Two heads: `correction` starts at the warped reference and learns small corrections to it (flow,
colour, residual), zero-initialised so that the untrained network returns its start; `rgb` is the
published one, which draws the face itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.contract import (
    INPUT_CHANNELS,
    KNOWN_RGB,
    MASK,
    REFERENCE_RGB,
    TensorContract,
    evi_hrnet_contract,
)
from models.inpainting.temporal_shift import (
    SHIFT_KINDS,
    OfflineTemporalShift,
    OnlineTemporalShift,
    ShiftKind,
    temporal_shift,
)

LEAK = 0.2
DILATIONS = (2, 4, 8, 16)
LARGEST_FLOW_PX = 6.0
States = list[Tensor]


@dataclass(frozen=True)
class NetworkSettings:
    """What tells one EVI-HRnet from another."""

    width: int = 32
    size_px: int = 128
    head: str = "correction"  # or "rgb"
    attention: str = "32"  # "32": at the 32×32 level only; "both": at 64×64 too; "none"
    shift: ShiftKind = "online"  # "offline" looks one frame ahead per layer: clips only

    def __post_init__(self) -> None:
        """Refuse heads, attention levels and shifts that do not exist, and odd sizes."""
        if self.head not in ("correction", "rgb") or self.attention not in ("32", "both", "none"):
            raise ValueError(f"unknown head or attention in {asdict(self)}")
        if self.shift not in SHIFT_KINDS:
            raise ValueError(f"unknown shift '{self.shift}'; it is one of {', '.join(SHIFT_KINDS)}")
        evi_hrnet_contract(self.width, self.size_px)  # refuses what does not divide

    @property
    def contract(self) -> TensorContract:
        """Tensor contract of the exported network."""
        contract = evi_hrnet_contract(self.width, self.size_px)
        return contract if self.keeps_states else replace(contract, states=())

    @property
    def keeps_states(self) -> bool:
        """Whether something is carried from frame to frame."""
        return self.shift in ("online", "static")


class GatedConv(nn.Module):
    """sigmoid(gate) × activation(feature); the gate sees the unshifted input."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        shift: ShiftKind = "online",
        upsample: bool = False,
        activated: bool = True,
    ) -> None:
        """Build both convolutions; `upsample` doubles the map, an online `shift` adds a state."""
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        shape = (inputs, outputs, kernel, stride, padding, dilation)
        self.feature, self.gate = nn.Conv2d(*shape), nn.Conv2d(*shape)
        self.shift = temporal_shift(shift, inputs)
        self.upsample, self.activated = upsample, activated
        self._keep_variance()

    def forward(self, x: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        """Consume this layer's state from the front of `states`; return output and next state."""
        shifted, following = x, []
        if isinstance(self.shift, OnlineTemporalShift):
            shifted, after = self.shift(x, states.pop(0), frames)
            following = [after]
        elif isinstance(self.shift, OfflineTemporalShift):
            shifted = self.shift(x, frames)
        if self.upsample:
            x, shifted = _twice(x), _twice(shifted)
        feature = self.feature(shifted)
        if self.activated:
            feature = functional.leaky_relu(feature, LEAK)
        return torch.sigmoid(self.gate(x)) * feature, following

    def _keep_variance(self) -> None:
        """He initialisation, doubled: an untrained gate is half open.

        With the framework's default, 17 gated layers shrink a signal by seven orders of magnitude.
        """
        nn.init.kaiming_normal_(self.feature.weight, LEAK)
        with torch.no_grad():
            self.feature.weight.mul_(2)
        for convolution in (self.feature, self.gate):
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)


class SelfAttention(nn.Module):
    """Spatial self-attention within a frame; starts as the identity (weight 0)."""

    def __init__(self, channels: int) -> None:
        """Attend over maps of `channels` channels (at least 8)."""
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Add what similar places of the frame hold; keys and values are max-pooled 2×2."""
        query = self.query(x).flatten(2)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)
        value = functional.max_pool2d(self.value(x), 2).flatten(2)
        attention = torch.softmax(query.transpose(1, 2) @ key, -1)  # (N, HW, HW/4)
        found = (value @ attention.transpose(1, 2)).view_as(x)
        return x + self.weight * found


class EviHrnet(nn.Module):
    """The recurrent network; `forward` takes clips, `step` one frame, states are values."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Build the layers of `settings`, untrained."""
        super().__init__()
        self.settings = settings
        self.is_online = settings.shift != "offline"
        w, gated = settings.width, partial(GatedConv, shift=settings.shift)
        self.conv1 = GatedConv(INPUT_CHANNELS, w, 5, shift="none")
        self.conv2 = gated(w, 2 * w, 4, stride=2)
        self.attention64 = SelfAttention(2 * w) if settings.attention == "both" else nn.Identity()
        self.conv3 = gated(2 * w, 2 * w, 3)
        self.conv4 = gated(2 * w, 4 * w, 4, stride=2)
        self.conv5, self.conv6 = gated(4 * w, 4 * w, 3), gated(4 * w, 4 * w, 3)
        none = settings.attention == "none"
        self.attention32 = nn.Identity() if none else SelfAttention(4 * w)
        self.dilated = nn.ModuleList(gated(4 * w, 4 * w, 3, dilation=d) for d in DILATIONS)
        self.conv7, self.conv8 = gated(4 * w, 4 * w, 3), gated(4 * w, 4 * w, 3)
        self.deconv1 = gated(4 * w, 2 * w, 3, upsample=True)
        self.conv9 = gated(2 * w, 2 * w, 3)
        self.deconv2 = gated(2 * w, w, 3, upsample=True)
        self.conv10 = gated(w, w // 2, 3)
        self.conv11 = gated(w // 2, 3, 3, activated=False)
        self.smooth_head = nn.Conv2d(2 * w, 8, 3, padding=1)  # flow 2, gain 3, offset 3
        if settings.head == "correction":
            for layer in (self.smooth_head, self.conv11.feature):
                for parameter in layer.parameters():
                    nn.init.zeros_(parameter)

    def initial_states(self, batch: int) -> States:
        """Zero states, as at the start of a session."""
        if not self.settings.keeps_states:
            return []
        contract = evi_hrnet_contract(self.settings.width, self.settings.size_px, batch)
        like = self.conv1.feature.weight
        return [like.new_zeros(state.shape) for state in contract.states]

    def forward(self, clips: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Fill clips (B,T,8,S,S) in 0..1; returns (B,T,3,S,S) and the states after the clip."""
        batch, frames = clips.shape[:2]
        before = self.initial_states(batch) if states is None else states
        fill, after = self._run(clips.flatten(0, 1), before, frames)
        return fill.reshape(batch, frames, *fill.shape[1:]), after

    def step(self, inputs: Tensor, states: States) -> tuple[Tensor, States]:
        """Fill one frame (B,8,S,S); returns (B,3,S,S) and the next states."""
        return self._run(inputs, states, 1)

    def _run(self, inputs: Tensor, states: States, frames: int) -> tuple[Tensor, States]:
        pending, after = list(states), []

        def through(x: Tensor, *layers: nn.Module) -> Tensor:
            for layer in layers:
                x, following = layer(x, pending, frames)
                after.extend(following)
            return x

        x = self.attention64(through(inputs, self.conv1, self.conv2))
        x = self.attention32(through(x, self.conv3, self.conv4, self.conv5, self.conv6))
        x = through(x, *self.dilated, self.conv7, self.conv8)
        half = through(x, self.deconv1, self.conv9)
        drawn = through(half, self.deconv2, self.conv10, self.conv11)
        if self.settings.head == "rgb":
            return drawn, after
        return self._corrected(inputs, self.smooth_head(half), drawn), after

    def _corrected(self, inputs: Tensor, smooth: Tensor, residual: Tensor) -> Tensor:
        """Move, tint and repaint the start: known pixels, prepared reference in the hole."""
        start = inputs[:, KNOWN_RGB] + inputs[:, MASK] * inputs[:, REFERENCE_RGB]
        smooth, residual = _twice(_exact(smooth)), _exact(residual)
        flow = torch.tanh(smooth[:, :2] / LARGEST_FLOW_PX) * LARGEST_FLOW_PX
        moved = functional.grid_sample(
            start, self._positions(flow), padding_mode="border", align_corners=False
        )
        return moved * (1 + smooth[:, 2:5]) + smooth[:, 5:8] + residual

    def _positions(self, flow: Tensor) -> Tensor:
        """Sampling grid (N,S,S,2) in -1..1 for a backward flow (N,2,S,S) in px."""
        size = self.settings.size_px
        axis = (torch.arange(size, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / size) - 1
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        return grid + flow.permute(0, 2, 3, 1) * (2 / size)


def _exact(x: Tensor) -> Tensor:
    """In float32 what autocast made bfloat16: its eight bits move a sampling place by half a px."""
    return x.float() if x.dtype == torch.bfloat16 else x


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
