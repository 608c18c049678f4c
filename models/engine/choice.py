"""Which engine runs a network: onnxruntime, or TensorRT where an engine for this GPU is ready.

An engine never breaks a session. Whatever is wrong with TensorRT, its engine file or the GPU ends
in one sentence and onnxruntime.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from models.engine.cuda.device import Device
from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.cuda.pycuda_device import PycudaDevice
from models.engine.fallback import FallbackEngine, Tell
from models.engine.interface import Engine, EngineError
from models.engine.onnx import OnnxEngine
from models.engine.plans.calls import OpenedPlan
from models.engine.plans.library import Precision, TensorRt, find_tensorrt
from models.engine.plans.making import choose_precision, engine_contract
from models.engine.plans.manifest import identity_of
from models.engine.plans.store import OPENING, EngineStore, Unusable
from models.engine.tensorrt import TensorRtEngine
from models.shipped import Network

log = logging.getLogger(__name__)

EngineChoice = Literal["auto", "onnx", "tensorrt"]
BUILD_COMMAND = "unvisor build-engine"


def open_engine(
    network: Network,
    choice: EngineChoice = "onnx",
    threads: int = 2,
    *,
    store: EngineStore | None = None,
    tell: Tell = log.warning,
) -> Engine:
    """The engine for a session; never builds one, and falls back to onnxruntime.

    `auto` is silent on a machine without an NVIDIA GPU; `tell` gets one sentence if there is one
    and it cannot be used, or if `tensorrt` was asked for and cannot be had.
    """

    def on_cpu() -> Engine:
        return OnnxEngine(network, threads)

    if choice == "onnx":
        return on_cpu()
    gpu = find_gpu()
    if gpu is None:
        if choice == "tensorrt":
            tell("onnxruntime runs the network: there is no NVIDIA GPU, or no driver for it.")
        return on_cpu()
    try:
        engine = open_tensorrt(network, gpu, EngineStore() if store is None else store)
    except EngineError as error:
        tell(f"onnxruntime runs the network, on the CPU: {error}")
        return on_cpu()
    return FallbackEngine(engine, on_cpu, tell)


def open_tensorrt(network: Network, gpu: Gpu, store: EngineStore) -> TensorRtEngine:
    """The stored engine of a network for this GPU, opened and warmed up.

    Raises:
        EngineError: there is none that fits, or it cannot be opened.
    """
    library, precision = find_tensorrt(), choose_precision(network)
    wanted = identity_of(network, precision, library, gpu)
    try:
        stored = store.load(wanted)
    except Unusable as reason:
        raise EngineError(
            f"no TensorRT engine of {network.path.name} fits ({reason}); run `{BUILD_COMMAND}`."
        ) from reason
    with _watched(stored.path):
        return start_plan(network, precision, library, stored.plan)


def start_plan(
    network: Network,
    precision: Precision,
    library: TensorRt,
    plan: bytes,
    device: Device | None = None,
) -> TensorRtEngine:
    """Open a plan on the GPU; raises EngineError, whatever the libraries underneath raise."""
    device = PycudaDevice() if device is None else device
    try:
        opened = OpenedPlan(library, plan)
        return TensorRtEngine(engine_contract(network, precision), opened, device)
    except Exception as error:  # pycuda's and TensorRT's errors have no common class
        device.close()
        if isinstance(error, EngineError):
            raise
        raise EngineError(f"The engine cannot be started: {error}.") from error


@contextmanager
def _watched(plan: Path) -> Iterator[None]:
    """Leave a mark while a plan is being opened: native code may end the process at once.

    Raises:
        EngineError: the process that opened it last ended while doing so.
    """
    mark = plan.with_suffix(OPENING)
    if _left_behind(mark):
        raise EngineError(
            f"opening {plan.name} ended the program the last time; "
            f"run `{BUILD_COMMAND} --rebuild` to try again."
        )
    _set(mark)
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _left_behind(mark: Path) -> bool:
    try:
        owner = int(mark.read_text())
    except (OSError, ValueError):
        return False
    return not Path(f"/proc/{owner}").exists()


def _set(mark: Path) -> None:
    try:
        mark.write_text(str(os.getpid()))
    except OSError as error:  # a read-only cache: opened without a mark
        log.debug("no mark for %s: %s", mark.name, error)
