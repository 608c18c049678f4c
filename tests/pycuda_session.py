"""Run by a test in a process of its own: the engine on pycuda, on a stand-in for the driver.

Arguments: the library, a network, the number of frames. Prints JSON with what was seen.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from host_gpu import OnnxPlan

from models.engine.cuda.pycuda_device import PycudaDevice
from models.engine.onnx import OnnxEngine
from models.engine.tensorrt import TensorRtEngine
from models.shipped import load_network

Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Memory(dict):  # type: ignore[type-arg]
    """Bytes at an address, as the plan of the other stand-in wants them."""

    def __init__(self, sizes: dict[int, int]) -> None:
        super().__init__()
        self.sizes = sizes

    def __missing__(self, address: int) -> np.ndarray:
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))
        return np.ctypeslib.as_array(pointer, (self.sizes[address],))


class StandInPlan(OnnxPlan):
    """Runs the network when the stream comes to it."""

    def __init__(self, path: Path, device: PycudaDevice, driver: ctypes.CDLL) -> None:
        super().__init__(path, self)  # type: ignore[arg-type]
        self.driver, self.stream = driver, device.stream
        self.sizes: dict[int, int] = {}
        self.memory = Memory(self.sizes)
        self.calls: list[object] = []
        allocate = device.allocate

        def remember(byte_count: int) -> int:
            address = allocate(byte_count)
            self.sizes[address] = byte_count
            return address

        device.allocate = remember  # type: ignore[method-assign]

    def context(self) -> object:
        return StandInContext(self)


class StandInContext:
    def __init__(self, plan: StandInPlan) -> None:
        self.plan, self.inner = plan, OnnxPlan.context(plan)

    def bind(self, name: str, address: int) -> None:
        self.inner.addresses[name] = address

    def enqueue(self, stream: int) -> None:
        assert stream == self.plan.stream
        addresses = dict(self.inner.addresses)
        call = Call(lambda what: self.inner._run(addresses))
        self.plan.calls.append(call)  # C holds no reference
        self.plan.driver.stand_in_enqueue(ctypes.c_void_p(stream), call, None)


def main(library: str, network_path: str, count: str) -> None:
    driver, network = ctypes.CDLL(library), load_network(Path(network_path))
    device = PycudaDevice()
    engine = TensorRtEngine(network.contract, StandInPlan(network.path, device, driver), device)
    expected = OnnxEngine(network, threads=1)
    shape = network.contract.inputs[0].shape
    frames = np.random.default_rng(1).random((int(count), *shape), np.float32)
    equal = [bool(np.array_equal(engine.step(f), expected.step(f))) for f in frames]
    engine.reset()
    expected.reset()
    equal.append(bool(np.array_equal(engine.step(frames[3]), expected.step(frames[3]))))
    launches = ctypes.c_int.in_dll(driver, "stand_in_launches").value
    engine.close()
    engine.close()
    left = [
        ctypes.c_int.in_dll(driver, f"stand_in_{kind}").value for kind in ("allocations", "graphs")
    ]
    print(json.dumps({"equal": equal, "launches": launches, "left": left}))


if __name__ == "__main__":
    main(*sys.argv[1:])
