"""Turns an exported EVI-HRnet into a graph of integer operators for onnxruntime's CPU kernels.

Gated layers and convolutions on their products become integer; what lies between them (attention,
the warp at the end) is copied as it is. States are bytes, read as the map that they are part of,
so they enter a step as they left the last one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from models.contract import INPUT
from models.engine.onnx import STATE_ZEROS
from models.quantisation.integer.affine import SHARES, Affine, quantise_filters
from models.quantisation.integer.layers import BLOCK, GatedLayers
from models.quantisation.integer.ranges import Ranges, observe
from models.quantisation.integer.sampling import clamp_samples
from models.quantisation.integer.source import Convolution, GatedLayer, SourceGraph
from models.quantisation.integer.writer import (
    CONTRIB,
    TO_PLANES,
    TO_ROWS,
    Bytes,
    GraphWriter,
)
from models.quantisation.online import Feed


def integer_graph(model: onnx.ModelProto, feeds: Sequence[Feed]) -> onnx.ModelProto:
    """The integer form of a float graph; ranges are the extremes that `feeds` cause.

    Raises:
        UnknownGraphError: the graph is not that of an exported EVI-HRnet or of one of its kind, or
            a layer's shape has no integer form.
        ValueError: there are no feeds.
    """
    source = SourceGraph(model)
    layers = source.gated_layers()
    heads = _plain_convolutions(source, layers)
    names = [name for layer in layers for name in layer.observed]
    ranges = observe(model, [*names, *(head.leaving for head in heads)], feeds)
    return _Builder(model, source, ranges).build(layers, heads)


def _plain_convolutions(source: SourceGraph, layers: list[GatedLayer]) -> list[Convolution]:
    """Convolutions with kernels larger than 1 that read a gated layer's product ungated."""
    products = {layer.leaving for layer in layers}
    gated = {half.leaving for layer in layers for half in (layer.feature, layer.gate)}
    return [
        source.convolution(node)
        for node in source.graph.node
        if node.op_type == "Conv"
        and node.output[0] not in gated
        and node.input[0] in products
        and source.constants[node.input[1]].shape[-1] > 1
    ]


class _Builder:
    def __init__(self, model: onnx.ModelProto, source: SourceGraph, ranges: Ranges) -> None:
        self._model, self._source, self._ranges = model, source, ranges
        self._writer = GraphWriter()
        self._layers = GatedLayers(self._writer, ranges)
        self._bytes: dict[str, Bytes] = {}  # by the float graph's name
        self._heads: dict[str, Convolution] = {}  # by the tensor that they give
        self._written = {INPUT}  # float tensors that exist in the new graph

    def build(self, layers: list[GatedLayer], heads: list[Convolution]) -> onnx.ModelProto:
        self._heads = {head.leaving: head for head in heads}
        for layer in layers:
            last = len(layer.gate.biases) % 8 != 0
            x = self._as_bytes(layer.entering, layer)
            if last:
                self._layers.write_last(layer, x, layer.leaving)
                self._written.add(layer.leaving)
            else:
                target = self._affine_of(layer.leaving, layers)
                self._bytes[layer.leaving] = self._layers.write(layer, x, target)
        fill = self._model.graph.output[0]
        self._need(fill.name)
        return self._model_of(fill)

    def _affine_of(self, tensor: str, layers: list[GatedLayer]) -> Affine:
        """How a product is read: wide enough for what the next shift mixes into it."""
        mixed = [layer.shift.mixed for layer in layers if layer.entering == tensor and layer.shift]
        return Affine.over(*self._ranges.of(tensor, *mixed))

    def _as_bytes(self, tensor: str, layer: GatedLayer) -> Bytes:
        """A tensor as bytes in rows; rounded here if the step before was a float one."""
        if tensor in self._bytes:
            return self._bytes[tensor]
        self._need(tensor)
        mixed = (layer.shift.mixed,) if layer.shift else ()
        affine = SHARES if tensor == INPUT else Affine.over(*self._ranges.of(tensor, *mixed))
        _, channels, height, width = self._shape(tensor)
        rounded = self._writer.node("QuantizeLinear", [tensor, *self._writer.read_as(affine)])
        rows = self._writer.turned(rounded, TO_ROWS)
        self._bytes[tensor] = Bytes(rows, affine, height, width, channels)
        return self._bytes[tensor]

    def _shape(self, tensor: str) -> tuple[int, int, int, int]:
        inferred = onnx.shape_inference.infer_shapes(self._model).graph
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            if value.name == tensor:
                batch, channels, height, width = (
                    d.dim_value for d in value.type.tensor_type.shape.dim
                )
                return batch, channels, height, width
        raise ValueError(f"the shape of {tensor} is not known")

    def _head(self, head: Convolution) -> None:
        """A plain convolution of a product, each channel of its output in bytes of its own."""
        x, outputs = self._bytes[head.entering], len(head.biases)
        low, high = self._ranges.low[head.leaving], self._ranges.high[head.leaving]
        affines = [Affine.over(float(a), float(b)) for a, b in zip(low, high, strict=True)]
        spare = -outputs % BLOCK
        weights = np.concatenate(
            [head.weights, np.zeros((spare, *head.weights.shape[1:]), np.float32)]
        )
        biases = np.concatenate([head.biases, np.zeros(spare, np.float32)])
        filters = quantise_filters(weights, biases, x.read_as, [*affines, *[SHARES] * spare])
        said = self._writer.convolution(
            x.name,
            x.read_as,
            filters,
            pads=head.pads,
            strides=head.strides,
            dilations=head.dilations,
        )
        planes = self._writer.part(self._writer.turned(said, TO_PLANES), 0, outputs, 1)
        scales = self._writer.constant(np.array([a.scale for a in affines], np.float32))
        zeros = self._writer.constant(np.array([a.zero for a in affines], np.uint8))
        self._writer.node("DequantizeLinear", [planes, scales, zeros], head.leaving, axis=1)

    def _need(self, tensor: str) -> None:
        """Make a float tensor exist: from bytes, or by the nodes that made it before."""
        if not tensor or tensor in self._written:
            return
        self._written.add(tensor)
        found = self._bytes.get(tensor)
        if found is not None:
            planes = self._writer.turned(found.name, TO_PLANES)
            affine = self._writer.read_as(found.read_as)
            self._writer.node("DequantizeLinear", [planes, *affine], tensor)
        elif tensor in self._heads and self._heads[tensor].entering in self._bytes:
            self._head(self._heads[tensor])
        elif tensor in self._source.makers:
            node = self._source.makers[tensor]
            for name in node.input:
                self._need(name)
            self._written.update(node.output)
            clamp_samples(self._writer, node, self._source)
        elif tensor in self._source.constants:
            self._writer.constant(self._source.constants[tensor], tensor)
        else:
            raise ValueError(f"nothing gives {tensor}")

    def _model_of(self, fill: onnx.ValueInfoProto) -> onnx.ModelProto:
        writer, before = self._writer, self._model.graph
        inputs = [next(v for v in before.input if v.name == INPUT), *writer.inputs]
        graph = helper.make_graph(
            writer.nodes, before.name, inputs, [fill, *writer.outputs], writer.initialisers()
        )
        opsets = [*self._model.opset_import, helper.make_opsetid(CONTRIB, 1)]
        built = helper.make_model(graph, opset_imports=opsets, ir_version=self._model.ir_version)
        helper.set_model_props(built, {STATE_ZEROS: json.dumps(writer.state_zeros)})
        return built
