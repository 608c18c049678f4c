"""Writes a network as an explicit INT8 graph (quantise/dequantise pairs); weights per channel.

The formula is that of Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference": real = scale × (integer − zero point). States stay
float32 between the frames; what enters and what leaves a step is never rounded twice.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from models.quantisation.online import Feed

Target = Literal["cpu", "tensorrt"]
# Everything else stays float32: attention, the last warp and the gates' products.
OPERATORS = ["Conv", "Concat", "Resize", "Sigmoid", "LeakyRelu", "Relu"]
# On the CPU activations are unsigned, because VNNI multiplies unsigned by signed bytes: with signed
# ones onnxruntime leaves half of the convolutions in float. TensorRT's parser wants symmetric
# signed ones and float biases.
OPTIONS: dict[Target, dict[str, Any]] = {
    "cpu": {"activation_type": QuantType.QUInt8, "extra_options": {}},
    "tensorrt": {
        "activation_type": QuantType.QInt8,
        "extra_options": {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "AddQDQPairToWeight": False,
        },
    },
}


def quantise(network: Path, out: Path, feeds: Sequence[Feed], target: Target = "cpu") -> None:
    """Write `network` as INT8 to `out`; ranges are the extremes that `feeds` cause.

    Raises:
        ValueError: there are no feeds.
    """
    if not feeds:
        raise ValueError("ranges need at least one frame")
    with tempfile.TemporaryDirectory(prefix="unvisor-int8-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(network), str(prepared), skip_symbolic_shape=True)
        out.parent.mkdir(parents=True, exist_ok=True)
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
                op_types_to_quantize=OPERATORS,
                **OPTIONS[target],
            )
        finally:
            root.setLevel(level)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)
