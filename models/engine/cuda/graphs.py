"""Stream capture and graph launch, called in libcuda directly: pycuda does not wrap them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from models.engine.cuda.driver import LIBRARY
from models.engine.interface import EngineError

# CUstreamCaptureMode in cuda.h. Thread-local: other threads may allocate meanwhile.
THREAD_LOCAL = 1


class GraphDriver:
    """Captures and launches graphs on streams given by handle; keeps the graphs until closed."""

    def __init__(self, load: Callable[[str], Any] = ctypes.CDLL) -> None:
        """Open the driver's library."""
        self._driver = load(LIBRARY)
        self._graphs: list[tuple[int, int]] = []  # executable, template

    def capture(self, stream: int, work: Callable[[], None]) -> int:
        """Record what `work` queues on `stream`; returns an executable graph.

        Raises:
            EngineError: a call in `work` failed, or cannot be captured.
        """
        self._check("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), THREAD_LOCAL)
        template, graph = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            work()
        finally:  # a stream that stays in capture mode would be useless for everything else
            ended = self._call(
                "cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(template)
            )
        if ended or not template.value:
            raise EngineError(f"The GPU refused to capture the network (CUDA error {ended}).")
        self._check("cuGraphInstantiateWithFlags", ctypes.byref(graph), template, _U64(0))
        assert graph.value is not None
        self._graphs.append((graph.value, template.value))
        return graph.value

    def launch(self, graph: int, stream: int) -> None:
        """Queue a captured graph on `stream`; raises EngineError if the driver refuses."""
        self._check("cuGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))

    def close(self) -> None:
        """Free the graphs."""
        for graph, template in self._graphs:
            self._call("cuGraphExecDestroy", ctypes.c_void_p(graph))
            self._call("cuGraphDestroy", ctypes.c_void_p(template))
        self._graphs.clear()

    def _call(self, function: str, *arguments: object) -> int:
        return int(getattr(self._driver, function)(*arguments))

    def _check(self, function: str, *arguments: object) -> None:
        error = self._call(function, *arguments)
        if error:
            raise EngineError(f"{function} failed with CUDA error {error}.")


_U64 = ctypes.c_ulonglong
