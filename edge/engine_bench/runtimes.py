"""One step of a network file in each runtime, with everything bound before."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.engine.onnx import empty_feed, session_options

Step = Callable[[], object]
OpenStep = Callable[[Path, int], Step]
SEED = 0


def onnxruntime_step(path: Path, threads: int) -> Step:
    """A step in onnxruntime as sessions run it, pictures of noise in, states as at the start."""
    session = onnxruntime.InferenceSession(
        str(path), session_options(threads), providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    for name, values in empty_feed(session).items():
        binding.bind_cpu_input(name, _filled(values))
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return lambda: session.run_with_iobinding(binding)


def openvino_step(path: Path, threads: int) -> Step:
    """The same in OpenVINO, tuned for latency, in float32 where the file is.

    Raises:
        ImportError: OpenVINO is not installed.
        RuntimeError: it cannot read the file.
    """
    openvino = importlib.import_module("openvino")
    core = openvino.Core()
    wishes = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(core.read_model(str(path)), "CPU", wishes)
    request = compiled.create_infer_request()
    kept = []  # OpenVINO reads the memory that it was shown
    for port in compiled.inputs:
        values = _filled(np.zeros(tuple(port.shape), port.get_element_type().to_dtype()))
        kept.append(values)
        request.set_tensor(port, openvino.Tensor(values, shared_memory=True))

    def step() -> object:
        assert kept
        return request.infer()

    return step


RUNTIMES: dict[str, OpenStep] = {"onnxruntime": onnxruntime_step, "openvino": openvino_step}


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """Noise for pictures; states stay what they are."""
    is_picture = values.ndim == 4 and values.dtype == np.float32 and values.shape[1] in (1, 3, 8)
    if not is_picture:
        return values
    return np.random.default_rng(SEED).random(values.shape, np.float32)
