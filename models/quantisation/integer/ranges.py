"""Extremes of a network's inner tensors, over frames that entered it online."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from models.engine.onnx import session_options
from models.quantisation.online import Feed

Float32Array = NDArray[np.float32]


class Ranges:
    """Lowest and highest value of each channel of each observed tensor."""

    def __init__(self, low: dict[str, Float32Array], high: dict[str, Float32Array]) -> None:
        """Both by tensor name, (C,)."""
        self.low, self.high = low, high

    def of(self, *names: str) -> tuple[float, float]:
        """Extremes of some tensors together."""
        lows = [float(self.low[name].min()) for name in names]
        return min(lows), max(float(self.high[name].max()) for name in names)


def observe(model: onnx.ModelProto, names: Sequence[str], feeds: Iterable[Feed]) -> Ranges:
    """Run `feeds` and keep the extremes of the tensors `names`, (1,C,H,W) each.

    Raises:
        ValueError: there are no feeds.
    """
    session = onnxruntime.InferenceSession(
        _showing(model, names).SerializeToString(),
        session_options(1),
        providers=["CPUExecutionProvider"],
    )
    inputs = {value.name for value in model.graph.input}
    wanted = [name for name in names if name not in inputs]
    low: dict[str, Float32Array] = {}
    high: dict[str, Float32Array] = {}
    for feed in feeds:
        said = dict(zip(wanted, session.run(wanted, feed), strict=True))
        said.update({name: feed[name] for name in names if name in inputs})
        for name, values in said.items():
            least, most = values.min((0, 2, 3)), values.max((0, 2, 3))
            low[name] = np.minimum(low.get(name, least), least)
            high[name] = np.maximum(high.get(name, most), most)
    if not low:
        raise ValueError("ranges need at least one frame")
    return Ranges(low, high)


def _showing(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy that gives inner tensors as outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {value.name for value in (*shown.graph.output, *shown.graph.input)}
    for name in dict.fromkeys(names):
        if name not in known:
            shown.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return shown
