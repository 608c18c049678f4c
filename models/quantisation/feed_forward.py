"""INT8 forms of networks without states: Q/DQ pairs, with sensitive nodes left in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from models.quantisation.online import Feed
from models.quantisation.quantise import PAIRS, write_pairs

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
    model = in_single_precision(onnx.load(network))
    names = [node.name for node in model.graph.node]
    for word in kept:
        if not any(word in name for name in names):
            raise ValueError(f"{network.name} has no node named {word}")
    spared = [name for name in names if any(word in name for word in kept)]
    options = {**PAIRS, "nodes_to_exclude": spared}
    with tempfile.TemporaryDirectory(prefix="unvisor-int8-") as folder:
        plain = Path(folder) / network.name
        onnx.save(model, plain)
        write_pairs(plain, out, feeds, options, OPERATORS)
    return spared


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


def _single(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor).astype(np.float32)
    return numpy_helper.from_array(values, tensor.name)
