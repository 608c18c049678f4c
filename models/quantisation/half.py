"""FP16 networks: the same ONNX graph with half-precision weights, activations and states. No torch.

The casts stand in the graph itself, so that one file means the same to onnxruntime, which emulates
it on a CPU, and to TensorRT's strongly typed networks, which have no flag for it any more.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from models.shipped import check_manifest, manifest_path, sha256

# Kept in single precision: a sampling position in half precision is off by up to 0.03 px at 128 px
# near the border, and Softmax and Exp lose their tails.
SENSITIVE = ("GridSample", "Softmax", "Exp")
STATE_PREFIXES = ("state_", "next_state_")


class QuantisedGraph(ValueError):
    """The network is quantised already; casts around its scales would undo what was measured."""


def half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in FP16: states become float16, other inputs and outputs stay as they are.

    Raises:
        QuantisedGraph: the graph holds QuantizeLinear or DequantizeLinear.
    """
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise QuantisedGraph("a quantised network has a precision of its own")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    ends = [value.name for value in (*copy.graph.input, *copy.graph.output)]
    kept = [name for name in ends if not name.startswith(STATE_PREFIXES)]
    converted: onnx.ModelProto = convert_float_to_float16(
        copy, keep_io_types=kept, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *SENSITIVE]
    )
    _sort(converted.graph)
    del converted.graph.value_info[:]  # the converter leaves types of before
    onnx.checker.check_model(converted, full_check=True)
    return converted


def write_half_precision(source: Path, target: Path) -> None:
    """Write the FP16 copy of a network file as `target`, with a manifest that names its origin.

    Raises:
        WeightsError: `source` is damaged or has no manifest.
        QuantisedGraph: it is quantised.
    """
    manifest = check_manifest(source, kind=None)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(half_precision(onnx.load(source)).SerializeToString())
    manifest |= {
        "sha256": sha256(target),
        "precision": "fp16",
        "state_dtype": "float16",
        "from_sha256": manifest["sha256"],
    }
    manifest_path(target).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def _sort(graph: onnx.GraphProto) -> None:
    """Order the nodes so that each follows what it reads: the converter appends its casts."""
    known = {"", *(value.name for value in graph.input), *(item.name for item in graph.initializer)}
    waiting, ordered = list(graph.node), []
    while waiting:
        late = []
        for node in waiting:
            if known.issuperset(node.input):
                ordered.append(node)
                known.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise ValueError(f"{late[0].name} reads what no node of the graph writes")
        waiting = late
    del graph.node[:]
    graph.node.extend(ordered)
