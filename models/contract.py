"""The tensor contract: name, shape, type and range of every input, output and state of a network.

Export, engines and fakes read it, so that no shape is typed twice. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

INPUT, FILL = "inputs", "fill"
INPUT_CHANNELS = 8
FOLD_DIVISOR = 4
# Channels of the network's input, in order; values 0..1.
KNOWN_RGB, MASK, CONTOURS, REFERENCE_RGB = slice(0, 3), slice(3, 4), slice(4, 5), slice(5, 8)


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor, static shape, float32 unless said otherwise."""

    name: str
    shape: tuple[int, ...]
    value_range: tuple[float, float] | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class TensorContract:
    """What a recurrent network takes and gives, one frame at a time."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[TensorSpec, ...]  # enter as `name`, leave as `next_name`

    @property
    def state_names(self) -> tuple[tuple[str, str], ...]:
        """(input name, output name) of every state."""
        return tuple((state.name, next_name(state.name)) for state in self.states)


@dataclass(frozen=True)
class LayerShape:
    """A layer that carries a state: its input channels, and the crop's side over its own."""

    name: str
    channels_per_width: float
    scale: int


# Layers with a temporal shift, in order. The up-sampling layers shift before they up-sample.
SHIFTED_LAYERS = (
    LayerShape("conv2", 1, 1),
    LayerShape("conv3", 2, 2),
    LayerShape("conv4", 2, 2),
    LayerShape("conv5", 4, 4),
    LayerShape("conv6", 4, 4),
    LayerShape("dilated1", 4, 4),
    LayerShape("dilated2", 4, 4),
    LayerShape("dilated3", 4, 4),
    LayerShape("dilated4", 4, 4),
    LayerShape("conv7", 4, 4),
    LayerShape("conv8", 4, 4),
    LayerShape("deconv1", 4, 4),
    LayerShape("conv9", 2, 2),
    LayerShape("deconv2", 2, 2),
    LayerShape("conv10", 1, 1),
    LayerShape("conv11", 0.5, 1),
)
RECEPTIVE_FRAMES = len(SHIFTED_LAYERS) + 1  # the output depends on this many frames


def next_name(state_name: str) -> str:
    """Name under which a state leaves the network."""
    return f"next_{state_name}"


def evi_hrnet_contract(
    width: int, size_px: int, batch: int = 1, state_dtype: str = "float32"
) -> TensorContract:
    """Contract of EVI-HRnet at a channel width and crop size (a multiple of 4, else ValueError).

    Input and fill are float32 at every precision; the states are kept in `state_dtype`.
    """
    if size_px % 4 or width % 8:
        raise ValueError(f"size_px must divide by 4 and width by 8, got {size_px} and {width}")
    states = tuple(
        TensorSpec(
            f"state_{layer.name}",
            (
                batch,
                int(layer.channels_per_width * width) // FOLD_DIVISOR,
                size_px // layer.scale,
                size_px // layer.scale,
            ),
            dtype=state_dtype,
        )
        for layer in SHIFTED_LAYERS
    )
    return recurrent_contract(size_px, states, batch)


def recurrent_contract(
    size_px: int, states: Sequence[TensorSpec] = (), batch: int = 1
) -> TensorContract:
    """Contract of any inpainting network on crops of `size_px`, with its `states`."""
    return TensorContract(
        inputs=(TensorSpec(INPUT, (batch, INPUT_CHANNELS, size_px, size_px), (0, 1)),),
        outputs=(TensorSpec(FILL, (batch, 3, size_px, size_px), (0, 1)),),
        states=tuple(states),
    )


def states_in_rows(contract: TensorContract) -> TensorContract:
    """The same with states (B,H,W,C), as networks of integer operators keep them."""
    turned = []
    for state in contract.states:
        batch, channels, height, width = state.shape
        turned.append(replace(state, shape=(batch, height, width, channels)))
    return replace(contract, states=tuple(turned))


def contract_from(tree: dict[str, Any]) -> TensorContract:
    """A contract of `dataclasses.asdict`, as manifests hold it; KeyError if it is none."""

    def specs(name: str) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                spec["name"],
                tuple(spec["shape"]),
                None if spec["value_range"] is None else tuple(spec["value_range"]),
                spec["dtype"],
            )
            for spec in tree[name]
        )

    return TensorContract(specs("inputs"), specs("outputs"), specs("states"))
