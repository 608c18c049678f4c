"""A GPU made of host memory: queues and captures as CUDA does, runs plans with onnxruntime.

Like the real thing, and unlike a mock, it runs nothing before `synchronise`, nothing while
capturing, hands out memory full of rubbish, and a captured graph keeps the addresses it saw.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models.contract import TensorSpec
from models.engine.interface import EngineError

STREAM = 7
DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int8)": "int8"}
Operation = tuple[str, Callable[[], None]]


class HostDevice:
    """See `models.engine.cuda.device.Device`."""

    def __init__(self, can_capture: bool = True) -> None:
        self.can_capture = can_capture
        self.stream = STREAM
        self.memory: dict[int, np.ndarray] = {}
        self.queue: list[Operation] = []
        self.graphs: dict[int, list[Operation]] = {}
        self.launched: list[int] = []
        self.ran: list[str] = []
        self.is_closed = False
        self.fails_after: int | None = None  # launches
        self._recording: list[Operation] | None = None

    def allocate(self, byte_count: int) -> int:
        memory = np.full(byte_count, 0xFF, np.uint8)  # as float: not a number
        self.memory[memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.zeros(shape, dtype)

    def zero(self, address: int, byte_count: int) -> None:
        self.submit("zero", lambda: self._at(address, byte_count).fill(0))

    def upload(self, address: int, source: np.ndarray) -> None:
        self.submit("upload", lambda: self._copy(self._at(address, source.nbytes), source))

    def download(self, target: np.ndarray, address: int) -> None:
        self.submit("download", lambda: self._copy(target, self._at(address, target.nbytes)))

    def submit(self, name: str, work: Callable[[], None]) -> None:
        assert not self.is_closed
        (self.queue if self._recording is None else self._recording).append((name, work))

    def capture(self, work: Callable[[], None]) -> int:
        if not self.can_capture:
            raise EngineError("this GPU captures nothing")
        self._recording = []
        try:
            work()
            self.graphs[len(self.graphs) + 1] = self._recording
        finally:
            self._recording = None
        return len(self.graphs)

    def launch(self, graph: int) -> None:
        self.launched.append(graph)
        if self.fails_after is not None and len(self.launched) > self.fails_after:
            raise EngineError("the GPU fell off the bus")
        self.queue += self.graphs[graph]

    def synchronise(self) -> None:
        queued, self.queue = self.queue, []
        for name, work in queued:
            work()
            self.ran.append(name)

    def close(self) -> None:
        self.is_closed = True

    def _at(self, address: int, byte_count: int) -> np.ndarray:
        memory = self.memory[address]
        assert memory.nbytes == byte_count, "a buffer of another size"
        return memory

    def _copy(self, target: np.ndarray, source: np.ndarray) -> None:
        target.reshape(-1).view(np.uint8)[:] = source.reshape(-1).view(np.uint8)


class OnnxPlan:
    """A plan whose contexts run an ONNX file at the addresses that were bound."""

    def __init__(self, path: Path, device: HostDevice) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.device = device
        ends = (*self.session.get_inputs(), *self.session.get_outputs())
        self.tensors = tuple(
            TensorSpec(end.name, tuple(end.shape), dtype=DTYPES[end.type]) for end in ends
        )

    def context(self) -> OnnxContext:
        return OnnxContext(self)


class OnnxContext:
    """See `models.engine.tensorrt.Context`. The first run allocates, which forbids capture."""

    def __init__(self, plan: OnnxPlan) -> None:
        self.plan = plan
        self.addresses: dict[str, int] = {}
        self.has_run = False

    def bind(self, name: str, address: int) -> None:
        assert name in {tensor.name for tensor in self.plan.tensors}
        self.addresses[name] = address

    def enqueue(self, stream: int) -> None:
        assert stream == STREAM
        if self.plan.device._recording is not None and not self.has_run:
            raise EngineError("the first run of a context cannot be captured")
        self.has_run = True
        addresses = dict(self.addresses)
        self.plan.device.submit("run", lambda: self._run(addresses))

    def _run(self, addresses: dict[str, int]) -> None:
        memory = self.plan.device.memory
        inputs: dict[str, Any] = {}
        for tensor in self.plan.session.get_inputs():
            dtype = DTYPES[tensor.type]
            inputs[tensor.name] = memory[addresses[tensor.name]].view(dtype).reshape(tensor.shape)
        names = [output.name for output in self.plan.session.get_outputs()]
        for name, value in zip(names, self.plan.session.run(names, inputs), strict=True):
            memory[addresses[name]][:] = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
