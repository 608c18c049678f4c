"""INT8 forms of networks without states: Q/DQ pairs, with sensitive nodes left in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from models.headset.contract import CROP
from models.quantisation.online import Feed
from models.quantisation.quantise import PAIRS, write_pairs

STEPS = 255  # of a picture's bytes
# Fully connected layers stay float32: they say where points are, and cost little.
OPERATORS = ("Conv", "Relu", "Add", "Resize")


def quantise_feed_forward(
    network: Path, out: Path, feeds: Sequence[Feed], kept: Sequence[str] = ()
) -> list[str]:
    """Write `network` as INT8 to `out`; nodes whose names hold one of `kept` stay float32.

    Ranges are the extremes that `feeds` cause. Gives the names of the nodes that were kept.

    Raises:
        ValueError: there are no feeds, or a word of `kept` is in no node's name.
    """
    model = with_exact_picture(in_single_precision(onnx.load(network)))
    names = [node.name for node in model.graph.node]
    for word in kept:
        if not any(word in name for name in names):
            raise ValueError(f"{network.name} has no node named {word}")
    spared = [name for name in names if any(word in name for word in kept)]
    options = {**PAIRS, "nodes_to_exclude": [*spared, *_outside_maps(model.graph)]}
    with tempfile.TemporaryDirectory(prefix="unvisor-int8-") as folder:
        plain = Path(folder) / network.name
        onnx.save(model, plain)
        write_pairs(plain, out, feeds, options, OPERATORS)
    return spared


def _outside_maps(graph: onnx.GraphProto) -> list[str]:
    """Sums and the like that add up coordinates, not feature maps: a byte is too coarse there."""
    maps: set[str] = set()
    for node in graph.node:
        adds_maps = node.op_type in OPERATORS and maps.issuperset(_inputs(node))
        if node.op_type == "Conv" or adds_maps:
            maps.update(node.output)
    return [n.name for n in graph.node if n.op_type in OPERATORS and n.output[0] not in maps]


def _inputs(node: onnx.NodeProto) -> list[str]:
    return list(node.input[:1]) if node.op_type == "Resize" else list(node.input)


def in_single_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same with float32 wherever the exporter wrote float64: processors do half as many."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    for index, tensor in enumerate(graph.initializer):
        if tensor.data_type == TensorProto.DOUBLE:
            graph.initializer[index].CopyFrom(_single(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.DOUBLE:
                attribute.t.CopyFrom(_single(attribute.t))
    del graph.value_info[:]  # types of the float64 tensors
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return changed


def with_exact_picture(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same where pictures enter as `2 × picture − 1`, moved by half a step of their bytes.

    −1..1 in 255 steps has no byte for 0, and 0 must be one: each pixel would be rounded by half a
    step. Half a step higher every one is met exactly, and the first convolution's bias takes it
    back; only beyond the picture's border, where 0 is meant, the half step remains.
    """
    graph = model.graph
    constants = {n.output[0]: n for n in graph.node if n.op_type == "Constant"}
    doubled = {n.output[0] for n in graph.node if n.op_type == "Mul" and n.input[0] == CROP}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Sub" or node.input[0] not in doubled:
            continue
        one = constants.get(node.input[1])
        users = [n for n in graph.node if node.output[0] in n.input]
        if one is None or _value(one) != 1 or [user.op_type for user in users] != ["Conv"]:
            continue
        weights, bias = (stored[name] for name in users[0].input[1:])
        lowered = _array(bias) - _array(weights).sum((1, 2, 3)) / STEPS
        bias.CopyFrom(numpy_helper.from_array(lowered.astype(np.float32), bias.name))
        moved = np.array(1 - 1 / STEPS, np.float32)
        one.attribute[0].t.CopyFrom(numpy_helper.from_array(moved))
    return model


def _value(constant: onnx.NodeProto) -> float:
    values = numpy_helper.to_array(constant.attribute[0].t)
    return float(values) if values.size == 1 else float("nan")


def _array(tensor: TensorProto) -> NDArray[np.float64]:
    return np.asarray(numpy_helper.to_array(tensor), np.float64)


def _single(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor).astype(np.float32)
    return numpy_helper.from_array(values, tensor.name)
