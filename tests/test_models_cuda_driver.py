"""What is asked of NVIDIA's driver itself: the GPU's name, and capturing a graph."""

from __future__ import annotations

import pytest

from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.cuda.graphs import THREAD_LOCAL, GraphDriver
from models.engine.interface import EngineError

GPU = Gpu("Orin", "8.7", "12.6")


def test_a_driver_is_asked_for_name_generation_and_cuda() -> None:
    class Driver:
        cuInit = staticmethod(lambda flags: 0)
        cuDeviceGet = staticmethod(lambda device, index: 0)

        @staticmethod
        def cuDeviceGetCount(count: object) -> int:
            count._obj.value = cards  # type: ignore[attr-defined]
            return 0

        @staticmethod
        def cuDriverGetVersion(version: object) -> int:
            version._obj.value = 12060  # type: ignore[attr-defined]
            return 0

        @staticmethod
        def cuDeviceGetName(name: object, size: int, device: object) -> int:
            name.value = b"Orin"  # type: ignore[attr-defined]
            return 0

        @staticmethod
        def cuDeviceGetAttribute(value: object, which: int, device: object) -> int:
            value._obj.value = {75: 8, 76: 7}[which]  # type: ignore[attr-defined]
            return 0

    cards = 1
    assert find_gpu(lambda name: Driver) == GPU
    cards = 0
    assert find_gpu(lambda name: Driver) is None

    def none(name: str) -> object:
        raise OSError("libcuda.so.1: cannot open shared object file")

    assert find_gpu(none) is None


class RecordingDriver:
    """Remembers which functions of libcuda were called."""

    def __init__(self, errors: dict[str, int] | None = None) -> None:
        self.calls: list[str] = []
        self.errors = errors or {}

    def __getattr__(self, function: str) -> object:
        def call(*arguments: object) -> int:
            self.calls.append(function)
            for argument in arguments:
                if hasattr(argument, "_obj"):  # an out parameter
                    argument._obj.value = len(self.calls)
            if function == "cuStreamBeginCapture_v2":
                assert arguments[1] == THREAD_LOCAL
            return self.errors.get(function, 0)

        return call


def test_a_capture_is_begun_ended_and_made_ready_in_order() -> None:
    driver = RecordingDriver()
    graphs, work = GraphDriver(lambda name: driver), []
    graph = graphs.capture(7, lambda: work.append(list(driver.calls)))
    assert work == [["cuStreamBeginCapture_v2"]]
    graphs.launch(graph, 7)
    graphs.close()
    assert driver.calls[1:] == [
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
        "cuGraphExecDestroy",
        "cuGraphDestroy",
    ]


def test_a_failed_capture_still_ends_capture_mode() -> None:
    driver = RecordingDriver()

    def work() -> None:
        raise EngineError("cannot be captured")

    with pytest.raises(EngineError, match="cannot be captured"):
        GraphDriver(lambda name: driver).capture(7, work)
    assert driver.calls[-1] == "cuStreamEndCapture"
    refusing = RecordingDriver({"cuStreamEndCapture": 901})
    with pytest.raises(EngineError, match="CUDA error 901"):
        GraphDriver(lambda name: refusing).capture(7, lambda: None)
