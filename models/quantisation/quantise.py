"""Writes a network as INT8: integer operators for onnxruntime, or explicit Q/DQ pairs.

The formula is that of Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference": real = scale × (integer − zero point); weights have
a scale per output channel. The integer graph keeps its states as bytes, the others as float32.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.quantisation.integer.graph import integer_graph
from models.quantisation.integer.source import UnknownGraphError
from models.quantisation.online import Feed

log = logging.getLogger(__name__)

# `cpu`: integer operators where the network is an EVI-HRnet, else as `pairs`. `pairs`: Q/DQ pairs
# that every runtime reads. `tensorrt`: Q/DQ pairs that its parser takes.
Target = Literal["cpu", "pairs", "tensorrt"]
TARGETS: tuple[Target, ...] = ("cpu", "pairs", "tensorrt")
# Everything else stays float32: attention, the last warp and the gates' products.
OPERATORS = ["Conv", "Concat", "Resize", "Sigmoid", "LeakyRelu", "Relu"]
# On the CPU activations are unsigned, because VNNI multiplies unsigned by signed bytes: with signed
# ones onnxruntime leaves half of the convolutions in float. TensorRT's parser wants symmetric
# signed ones and float biases.
PAIRS: dict[str, Any] = {"activation_type": QuantType.QUInt8, "extra_options": {}}
FOR_TENSORRT: dict[str, Any] = {
    "activation_type": QuantType.QInt8,
    "extra_options": {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "QuantizeBias": False,
        "AddQDQPairToWeight": False,
    },
}


def quantise(network: Path, out: Path, feeds: Sequence[Feed], target: Target = "cpu") -> None:
    """Write `network` as INT8 to `out`; ranges are the extremes that `feeds` cause.

    Raises:
        ValueError: there are no feeds.
    """
    if target == "cpu" and feeds:
        try:
            graph = integer_graph(onnx.load(network), feeds)
        except UnknownGraphError as error:
            log.info("%s is written with Q/DQ pairs: %s", network.name, error)
        else:
            out.parent.mkdir(parents=True, exist_ok=True)
            onnx.save(graph, out)
            return
    write_pairs(network, out, feeds, FOR_TENSORRT if target == "tensorrt" else PAIRS, OPERATORS)


def write_pairs(
    network: Path,
    out: Path,
    feeds: Sequence[Feed],
    options: dict[str, Any],
    operators: Sequence[str],
) -> None:
    """Write `network` with Q/DQ pairs around `operators`, by `options` of onnxruntime's tool.

    Raises:
        ValueError: there are no feeds.
    """
    if not feeds:
        raise ValueError("ranges need at least one frame")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unvisor-int8-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
        root = logging.getLogger()  # the library warns on it about steps that were just taken
        level = root.level
        root.setLevel(logging.ERROR)
        try:
            quantize_static(
                str(prepared),
                str(out),
                _Reader(feeds),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(operators),
                **options,
            )
        finally:
            root.setLevel(level)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)
