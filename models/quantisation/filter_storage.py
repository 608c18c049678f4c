"""ONNX files with filters in 8 bits: less to ship, the same floats to compute with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

LEAST_VALUES = 4096  # smaller arrays stay as they are


def store_filters_in_8_bit(path: Path) -> None:
    """Replace large float filters of the ONNX file by int8 numbers and a scale per channel.

    They are multiplied out again by a Cast and a Mul, which runtimes fold when they load the file.
    """
    model = onnx.load(str(path))
    graph = model.graph
    nodes, kept = [], []
    for initializer in graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < LEAST_VALUES:
            kept.append(initializer)
            continue
        name = initializer.name
        steps, scale = _in_steps(values)
        kept += [
            numpy_helper.from_array(steps, f"{name}.steps"),
            numpy_helper.from_array(scale, f"{name}.scale"),
        ]
        nodes += [
            onnx.helper.make_node("Cast", [f"{name}.steps"], [f"{name}.cast"], to=1),
            onnx.helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]),
        ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    partial = path.with_suffix(".partial")
    onnx.save(model, str(partial))
    os.replace(partial, path)


def with_plain_filters(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with its 8-bit filters multiplied out, for readers that do not fold them."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    plain, kept = {}, []
    for node in graph.node:
        name = node.output[0]
        if node.op_type == "Mul" and f"{name}.steps" in stored:
            steps, scale = (
                numpy_helper.to_array(stored[f"{name}.{k}"]) for k in ("steps", "scale")
            )
            plain[name] = numpy_helper.from_array(steps.astype(np.float32) * scale, name)
        elif not (node.op_type == "Cast" and node.input[0].endswith(".steps")):
            kept.append(node)
    gone = {f"{name}.{part}" for name in plain for part in ("steps", "scale")}
    constants = [tensor for tensor in graph.initializer if tensor.name not in gone]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*constants, *plain.values()])
    graph.node.extend(kept)
    return changed


def _in_steps(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(range(1, values.ndim))
    scale = np.abs(values).max(axis=others, keepdims=True) / 127
    scale = np.maximum(scale, 1e-12).astype(np.float32)
    return np.round(values / scale).clip(-127, 127).astype(np.int8), scale
