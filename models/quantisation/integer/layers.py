"""A gated layer in integer operators, in the form that onnxruntime runs quickest.

Its kernels want output channels in sixteens and many input channels. So thin layers compute
feature and gate in one convolution, layers with few input channels see two columns at a time, and
up-sampling is folded into the filters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.quantisation.integer.affine import SHARES, Affine, Float32Array, quantise_filters
from models.quantisation.integer.folding import (
    paired_filters,
    stacked_filters,
    upsampled_filters,
)
from models.quantisation.integer.ranges import Ranges
from models.quantisation.integer.source import GatedLayer, Shift, UnknownGraphError
from models.quantisation.integer.writer import ROWS, TO_PLANES, Bytes, GraphWriter

BLOCK = 16  # output channels of one pass of the convolution kernel
FEW_CHANNELS = 8  # of an input whose columns are taken in pairs


class GatedLayers:
    """Writes gated layers one after the other."""

    def __init__(self, writer: GraphWriter, ranges: Ranges) -> None:
        """`ranges` of the tensors that `GatedLayer.observed` names."""
        self._writer, self._ranges = writer, ranges

    def write(self, layer: GatedLayer, x: Bytes, target: Affine) -> Bytes:
        """Append `layer` on bytes in rows; gives its product in rows."""
        outputs = len(layer.gate.biases)
        if (outputs % BLOCK and layer.is_upsampled) or outputs % FEW_CHANNELS:
            raise UnknownGraphError(f"a layer with {outputs} outputs has no integer form")
        if outputs % BLOCK:
            return self._thin(layer, x, target)
        return self._broad(layer, x, target)

    def write_last(self, layer: GatedLayer, x: Bytes, output: str) -> None:
        """Append a layer whose product leaves as float32 planes under the name `output`."""
        writer, outputs = self._writer, len(layer.gate.biases)
        slot = -(-2 * outputs // FEW_CHANNELS) * FEW_CHANNELS
        feature = [
            Affine.over(float(low), float(high))
            for low, high in zip(
                self._ranges.low[layer.feature.leaving],
                self._ranges.high[layer.feature.leaving],
                strict=True,
            )
        ]
        gate = [self._affine(layer.gate.leaving)] * outputs
        planes = writer.turned(self._stacked_pairs(layer, x, [*feature, *gate], slot), TO_PLANES)
        first, second, *_ = writer.parts(planes, [outputs, outputs, slot - 2 * outputs], 1)
        grey = self._floats(first, feature)
        if layer.leak is not None:
            grey = writer.node("LeakyRelu", [grey], alpha=layer.leak)
        opened = writer.node("Sigmoid", [self._floats(second, gate)])
        writer.node("Mul", [opened, grey], output)

    def _broad(self, layer: GatedLayer, x: Bytes, target: Affine) -> Bytes:
        """Feature and gate apart: the kernel is as quick with half of the channels."""
        shifted = x.name if layer.shift is None else self._shifted(layer.shift, x)
        feature_as, gate_as = self._affine(layer.feature.leaving), self._affine(layer.gate.leaving)
        feature = self._convolved(layer, "feature", shifted, x, feature_as)
        gate = self._convolved(layer, "gate", x.name, x, gate_as)
        product = self._gated(layer, [feature, gate], (feature_as, gate_as, target))
        height, width = (x.height // layer.gate.strides[0], x.width // layer.gate.strides[1])
        outputs = len(layer.gate.biases)
        if layer.is_upsampled:
            product = self._unfolded(product, height, width, outputs)
            height, width = 2 * height, 2 * width
        return Bytes(product, target, height, width, outputs)

    def _convolved(self, layer: GatedLayer, half: str, tensor: str, x: Bytes, to: Affine) -> str:
        conv = layer.feature if half == "feature" else layer.gate
        weights, biases = conv.weights, conv.biases
        pads, strides, dilations = conv.pads, conv.strides, conv.dilations
        if layer.is_upsampled:
            weights, biases = upsampled_filters(weights), np.tile(biases, 4)
        elif _sees_pairs(layer, x):
            weights, biases = paired_filters(weights, len(biases)), np.tile(biases, 2)
            tensor = self._in_pairs(tensor, x.height, x.width, x.channels)
            pads = (pads[0], 1, pads[2], 1)
        filters = quantise_filters(weights, biases, x.read_as, [to] * len(biases))
        said = self._writer.convolution(
            tensor, x.read_as, filters, pads=pads, strides=strides, dilations=dilations
        )
        if _sees_pairs(layer, x) and not layer.is_upsampled:
            return self._writer.reshaped(said, 1, x.height, x.width, len(conv.biases))
        return said

    def _thin(self, layer: GatedLayer, x: Bytes, target: Affine) -> Bytes:
        """Feature and gate from one convolution, cut in planes."""
        writer, outputs = self._writer, len(layer.gate.biases)
        feature_as, gate_as = self._affine(layer.feature.leaving), self._affine(layer.gate.leaving)
        affines = [feature_as] * outputs + [gate_as] * outputs
        filters = quantise_filters(*_stacked(layer), x.read_as, affines)
        said = writer.convolution(
            self._with_state(layer.shift, x),
            x.read_as,
            filters,
            pads=layer.gate.pads,
            strides=layer.gate.strides,
            dilations=layer.gate.dilations,
        )
        halves = writer.parts(said, [outputs, outputs], ROWS)
        product = self._gated(layer, halves, (feature_as, gate_as, target))
        height, width = (x.height // layer.gate.strides[0], x.width // layer.gate.strides[1])
        return Bytes(product, target, height, width, outputs)

    def _stacked_pairs(self, layer: GatedLayer, x: Bytes, affines: list[Affine], slot: int) -> str:
        """Feature and gate from one convolution over pairs of columns; (1,H,W,slot)."""
        weights, biases = _stacked(layer)
        spare = slot - len(biases)
        weights = paired_filters(weights, slot)
        biases = np.tile(np.concatenate([biases, np.zeros(spare, np.float32)]), 2)
        affines = 2 * (affines + [affines[-1]] * spare)
        seen = x.channels + (0 if layer.shift is None else x.channels // 4)
        tensor = self._in_pairs(self._with_state(layer.shift, x), x.height, x.width, seen)
        filters = quantise_filters(weights, biases, x.read_as, affines)
        top, _, bottom, _ = layer.gate.pads
        said = self._writer.convolution(tensor, x.read_as, filters, pads=(top, 1, bottom, 1))
        return self._writer.reshaped(said, 1, x.height, x.width, slot)

    def _shifted(self, shift: Shift, x: Bytes) -> str:
        """The map whose first quarter is mixed with the state."""
        writer, fold = self._writer, x.channels // 4
        now = self._state(shift, x)
        rest = writer.part(x.name, fold, x.channels, ROWS)
        was, new = (Affine(tap * x.read_as.scale, x.read_as.zero) for tap in shift.taps)
        mixed = writer.of_two("QLinearAdd", shift.state, now, (was, new, x.read_as))
        return writer.joined([mixed, rest], ROWS)

    def _with_state(self, shift: Shift | None, x: Bytes) -> str:
        """The state and then the unshifted map, for filters that know of both."""
        if shift is None:
            return x.name
        self._state(shift, x)
        return self._writer.joined([shift.state, x.name], ROWS)

    def _state(self, shift: Shift, x: Bytes) -> str:
        """The map's first quarter, which is the next state."""
        fold = x.channels // 4
        self._writer.state(shift.state, (1, x.height, x.width, fold), x.read_as.zero)
        return self._writer.part(x.name, 0, fold, ROWS, f"next_{shift.state}")

    def _gated(
        self, layer: GatedLayer, halves: Sequence[str], read_as: tuple[Affine, Affine, Affine]
    ) -> str:
        """Activate and multiply; `halves` and `read_as` are feature, gate (and product)."""
        feature, gate, target = read_as
        writer, activated, activated_as = self._writer, halves[0], feature
        if layer.leak is not None:
            low, high = self._ranges.of(layer.feature.leaving)
            activated_as = Affine.over(layer.leak * low if low < 0 else low, high)
            activated = writer.table(
                "QLinearLeakyRelu", activated, feature, activated_as, alpha=layer.leak
            )
        opened = writer.table("QLinearSigmoid", halves[1], gate, SHARES)
        return writer.of_two("QLinearMul", opened, activated, (SHARES, activated_as, target))

    def _unfolded(self, tensor: str, height: int, width: int, channels: int) -> str:
        """(1,H,W,4·C), channels by row and column parity, as (1,2·H,2·W,C)."""
        writer = self._writer
        rows = writer.turned(writer.reshaped(tensor, height, width, 2, 2 * channels), [0, 2, 1, 3])
        return writer.reshaped(rows, 1, 2 * height, 2 * width, channels)

    def _in_pairs(self, tensor: str, height: int, width: int, channels: int) -> str:
        return self._writer.reshaped(tensor, 1, height, width // 2, 2 * channels)

    def _floats(self, tensor: str, affines: list[Affine]) -> str:
        scales = self._writer.constant(np.array([a.scale for a in affines], np.float32))
        zeros = self._writer.constant(np.array([a.zero for a in affines], np.uint8))
        return self._writer.node("DequantizeLinear", [tensor, scales, zeros], axis=1)

    def _affine(self, tensor: str) -> Affine:
        return Affine.over(*self._ranges.of(tensor))


def _sees_pairs(layer: GatedLayer, x: Bytes) -> bool:
    conv = layer.gate
    plain = conv.strides == conv.dilations == (1, 1) and conv.weights.shape[3] % 2 == 1
    return x.channels <= FEW_CHANNELS and plain and conv.weights.shape[3] <= 5


def _stacked(layer: GatedLayer) -> tuple[Float32Array, Float32Array]:
    taps = None if layer.shift is None else layer.shift.taps
    weights = stacked_filters(layer.feature.weights, layer.gate.weights, taps)
    return weights, np.concatenate([layer.feature.biases, layer.gate.biases])
