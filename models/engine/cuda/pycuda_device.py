"""Device memory and the stream through pycuda, which this file alone knows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.engine.cuda.graphs import GraphDriver
from models.engine.interface import EngineError


class PycudaDevice:
    """A GPU, see `Device`. Shares the primary context, which TensorRT uses too."""

    def __init__(self, index: int = 0) -> None:
        """Open a GPU; raises EngineError when pycuda or the GPU cannot be used."""
        try:
            self._cuda: Any = importlib.import_module("pycuda.driver")
            self._cuda.init()
            self._context = self._cuda.Device(index).retain_primary_context()
            self._graphs = GraphDriver()
        except ImportError as error:
            raise EngineError(f"pycuda cannot be used ({error}); see `unvisor doctor`.") from error
        except Exception as error:  # pycuda has its own errors, which only it could name
            raise EngineError(f"The GPU cannot be opened: {error}.") from error
        self._context.push()
        self._stream = self._cuda.Stream()
        self._memory: list[Any] = []

    @property
    def stream(self) -> int:
        """See `Device`."""
        return int(self._stream.handle)

    def allocate(self, byte_count: int) -> int:
        """See `Device`."""
        self._memory.append(self._cuda.mem_alloc(byte_count))
        return int(self._memory[-1])

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """See `Device`."""
        array: NDArray[Any] = self._cuda.pagelocked_zeros(shape, np.dtype(dtype))
        return array

    def zero(self, address: int, byte_count: int) -> None:
        """See `Device`."""
        self._cuda.memset_d8_async(address, 0, byte_count, self._stream)

    def upload(self, address: int, source: NDArray[Any]) -> None:
        """See `Device`."""
        self._cuda.memcpy_htod_async(address, source, self._stream)

    def download(self, target: NDArray[Any], address: int) -> None:
        """See `Device`."""
        self._cuda.memcpy_dtoh_async(target, address, self._stream)

    def capture(self, work: Callable[[], None]) -> int:
        """See `Device`."""
        return self._graphs.capture(self.stream, work)

    def launch(self, graph: int) -> None:
        """See `Device`."""
        self._graphs.launch(graph, self.stream)

    def synchronise(self) -> None:
        """See `Device`."""
        try:
            self._stream.synchronize()
        except self._cuda.Error as error:
            raise EngineError(f"The GPU failed: {error}.") from error

    def close(self) -> None:
        """See `Device`; a second call does nothing."""
        if self._context is None:
            return
        self._stream.synchronize()
        self._graphs.close()
        for memory in self._memory:
            memory.free()
        self._memory.clear()
        self._context.pop()
        self._context.detach()
        self._context = None
