"""Reads an exported EVI-HRnet: its gated layers with weights, and which tensor is which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from models.contract import next_name

Float32Array = NDArray[np.float32]


class UnknownGraphError(Exception):
    """The graph is not built as an exported EVI-HRnet is; it is quantised with Q/DQ pairs."""


@dataclass(frozen=True)
class Convolution:
    """One convolution's numbers and the tensor that it gives."""

    weights: Float32Array  # (O,I,k,k)
    biases: Float32Array  # (O,)
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    entering: str
    leaving: str


@dataclass(frozen=True)
class Shift:
    """The online temporal shift before a layer's feature convolution."""

    state: str
    taps: tuple[float, float]  # of the state, of the current frame
    mixed: str


@dataclass(frozen=True)
class GatedLayer:
    """sigmoid(gate) × activation(feature)."""

    feature: Convolution
    gate: Convolution
    leak: float | None  # None: the feature is not activated
    shift: Shift | None
    is_upsampled: bool
    entering: str
    leaving: str

    @property
    def observed(self) -> tuple[str, ...]:
        """Tensors whose ranges its bytes depend on."""
        mixed = (self.shift.mixed,) if self.shift else ()
        ends = (self.entering, self.leaving)
        return (*ends, self.feature.leaving, self.gate.leaving, *mixed)


class SourceGraph:
    """A float graph with look-up by tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Index it; the model is not changed."""
        self.graph = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]  # stored once

    def gated_layers(self) -> list[GatedLayer]:
        """All of them, in the order in which they run.

        Raises:
            UnknownGraphError: there are none, or one is built otherwise.
        """
        products = [
            node
            for node in self.graph.node
            if node.op_type == "Mul" and self._kind(node.input[0]) == "Sigmoid"
        ]
        if not products:
            raise UnknownGraphError("no gated convolution was found")
        try:
            return [self._gated(product) for product in products]
        except (KeyError, IndexError, ValueError) as error:
            raise UnknownGraphError(f"a gated convolution cannot be read ({error})") from error

    def convolution(self, node: onnx.NodeProto) -> Convolution:
        """A Conv node with constant filters."""
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if attributes.get("group", 1) != 1:
            raise ValueError(f"{node.name} has groups")
        return Convolution(
            self.constants[node.input[1]],
            self.constants[node.input[2]],
            tuple(attributes.get("strides", (1, 1))),
            tuple(attributes.get("dilations", (1, 1))),
            tuple(attributes.get("pads", (0, 0, 0, 0))),
            node.input[0],
            node.output[0],
        )

    def _kind(self, tensor: str) -> str:
        return str(self.makers[tensor].op_type) if tensor in self.makers else ""

    def _gated(self, product: onnx.NodeProto) -> GatedLayer:
        gate = self.convolution(self.makers[self.makers[product.input[0]].input[0]])
        activated = self.makers[product.input[1]]
        leak = None
        if activated.op_type == "LeakyRelu":
            leak = float(onnx.helper.get_attribute_value(activated.attribute[0]))
            activated = self.makers[activated.input[0]]
        feature = self.convolution(activated)
        is_upsampled = self._kind(gate.entering) == "Resize"
        entering, shifted = gate.entering, feature.entering
        if is_upsampled:
            entering = self._upsampled(entering)
            shifted = self._upsampled(shifted)
        shift = None if shifted == entering else self._shift(shifted, entering)
        return GatedLayer(
            feature, gate, leak, shift, is_upsampled, entering, str(product.output[0])
        )

    def _upsampled(self, tensor: str) -> str:
        node = self.makers[tensor]
        said: dict[str, Any] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        scales = self.constants[node.input[2]].tolist()
        way = said.get("mode"), said.get("coordinate_transformation_mode", b"half_pixel")
        is_half = way[1] in (b"half_pixel", b"pytorch_half_pixel")
        if way[0] != b"linear" or not is_half or scales != [1, 1, 2, 2]:
            raise ValueError(f"{node.name} is not bilinear by two")
        return str(node.input[0])

    def _shift(self, shifted: str, entering: str) -> Shift:
        joined = self.makers[shifted]
        mixed = joined.input[0]
        previous, current = (self.makers[name] for name in self.makers[mixed].input)
        state, tap = self._named_and_constant(previous)
        now, other = self._named_and_constant(current)
        if now != next_name(state) or self.makers[now].input[0] != entering:
            raise ValueError(f"{mixed} is not a temporal shift of {entering}")
        return Shift(state, (tap, other), mixed)

    def _named_and_constant(self, product: onnx.NodeProto) -> tuple[str, float]:
        (factor,) = (name for name in product.input if name in self.constants)
        (tensor,) = (name for name in product.input if name != factor)
        return tensor, float(self.constants[factor])
