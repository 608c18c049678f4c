"""Writes graphs of onnxruntime's integer operators, bytes in rows of channels (NHWC)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.quantisation.integer.affine import Affine, Filters

CONTRIB = "com.microsoft"  # integer operators that only onnxruntime has
TO_ROWS, TO_PLANES = [0, 2, 3, 1], [0, 3, 1, 2]
ROWS = 3  # axis of the channels in rows


@dataclass(frozen=True)
class Bytes:
    """A tensor of bytes (1,H,W,C)."""

    name: str
    read_as: Affine
    height: int
    width: int
    channels: int


class GraphWriter:
    """Nodes, constants, inputs and outputs, collected in the order in which they run."""

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.state_zeros: dict[str, int] = {}
        self._constants: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def constant(self, values: NDArray[Any], name: str = "") -> str:
        """Name under which `values` are known to the graph."""
        name = name or self._fresh("constant")
        self._constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str = "",
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Append a node with one output; gives the output's name."""
        output = output or self._fresh(kind)
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def parts(self, tensor: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Cut a tensor along an axis."""
        outputs = [self._fresh("part") for _ in sizes]
        inputs = [tensor, self.constant(np.array(sizes, np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=outputs[0], axis=axis))
        return outputs

    def part(self, tensor: str, start: int, stop: int, axis: int, output: str = "") -> str:
        """One cut of a tensor."""
        ends = [self.constant(np.array([value], np.int64)) for value in (start, stop, axis)]
        return self.node("Slice", [tensor, *ends], output)

    def joined(self, tensors: Sequence[str], axis: int) -> str:
        """Tensors one behind the other."""
        return self.node("Concat", tensors, axis=axis)

    def turned(self, tensor: str, order: Sequence[int], output: str = "") -> str:
        """Axes in another order."""
        return self.node("Transpose", [tensor], output, perm=list(order))

    def reshaped(self, tensor: str, *shape: int) -> str:
        """The same memory under another shape."""
        return self.node("Reshape", [tensor, self.constant(np.array(shape, np.int64))])

    def read_as(self, affine: Affine) -> list[str]:
        """Constants of a scale and a zero."""
        return [
            self.constant(np.array(affine.scale, np.float32)),
            self.constant(np.array(affine.zero, np.uint8)),
        ]

    def table(self, kind: str, tensor: str, source: Affine, target: Affine, **more: Any) -> str:
        """A function of one byte: QLinearSigmoid or QLinearLeakyRelu."""
        inputs = [tensor, *self.read_as(source), *self.read_as(target)]
        return self.node(kind, inputs, domain=CONTRIB, **more)

    def of_two(
        self, kind: str, first: str, second: str, affines: tuple[Affine, Affine, Affine]
    ) -> str:
        """QLinearAdd or QLinearMul; `affines` of both inputs and the output."""
        one, other, target = (self.read_as(affine) for affine in affines)
        return self.node(kind, [first, *one, second, *other, *target], domain=CONTRIB)

    def convolution(
        self,
        tensor: str,
        source: Affine,
        filters: Filters,
        *,
        pads: Sequence[int],
        strides: Sequence[int] = (1, 1),
        dilations: Sequence[int] = (1, 1),
    ) -> str:
        """Convolve bytes (1,H,W,I); every channel of the output is read in its own way."""
        plain = self.read_as(Affine(1.0, 0))
        inputs = [
            *(tensor, *self.read_as(source)),
            self.constant(filters.weights),
            self.constant(filters.scales),
            self.constant(np.zeros(len(filters.weights), np.int8)),
            *(*plain, self.constant(filters.biases)),
        ]
        return self.node(
            "QLinearConv",
            inputs,
            domain=CONTRIB,
            channels_last=1,
            kernel_shape=list(filters.weights.shape[2:]),
            pads=list(pads),
            strides=list(strides),
            dilations=list(dilations),
        )

    def state(self, name: str, shape: Sequence[int], zero: int) -> None:
        """Declare a state's input and output, bytes that mean 0 where they are `zero`."""
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.UINT8, shape))
        following = helper.make_tensor_value_info(f"next_{name}", TensorProto.UINT8, shape)
        self.outputs.append(following)
        self.state_zeros[name] = zero

    def copied(self, node: onnx.NodeProto) -> None:
        """Take over a node as it is."""
        self.nodes.append(node)

    def initialisers(self) -> list[onnx.TensorProto]:
        """All constants."""
        return list(self._constants.values())

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"
