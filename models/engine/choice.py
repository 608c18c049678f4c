"""Which engine runs a network: onnxruntime, or TensorRT where an engine for this GPU is ready.

An engine never breaks a session. Whatever is wrong with TensorRT, its engine file or the GPU ends
in one sentence and onnxruntime.
"""

from __future__ import annotations

import logging
from pathlib import Path

from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.fallback import FallbackEngine, Tell
from models.engine.interface import Engine, EngineChoice, EngineError
from models.engine.onnx import OnnxEngine
from models.engine.opening import BUILD_COMMAND, open_tensorrt
from models.engine.plans.library import find_tensorrt
from models.engine.plans.making import choose_precision
from models.engine.plans.manifest import identity_of
from models.engine.plans.store import EngineStore, Unusable
from models.shipped import SHIPPED_NETWORK, Network, Precision, load_network, shipped_network
from models.weights_error import WeightsError

log = logging.getLogger(__name__)


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
    if choice == "auto" and network.manifest.get("target") == "cpu":
        tell(
            "onnxruntime runs the network, on the CPU: there is no TensorRT engine for this GPU; "
            f"run `{BUILD_COMMAND}` if you want one."
        )
        return on_cpu()
    try:
        engine = open_tensorrt(network, gpu, EngineStore() if store is None else store)
    except EngineError as error:
        tell(f"onnxruntime runs the network, on the CPU: {error}")
        return on_cpu()
    except Exception as error:  # an import or a driver may raise anything: the session starts
        log.exception("TensorRT could not be started")
        tell(f"onnxruntime runs the network, on the CPU: TensorRT could not be started ({error}).")
        return on_cpu()
    return FallbackEngine(engine, on_cpu, tell)


def session_network(
    precision: Precision, choice: EngineChoice, store: EngineStore | None = None
) -> Path:
    """The shipped network's file that a session opens.

    With `auto`, that is the one which engines are built from only where one is ready or was asked
    for: processors are quicker with the INT8 file, whether or not a GPU lies idle beside them.
    """
    if precision != "auto" or choice == "onnx":
        return shipped_network(precision)
    if choice == "tensorrt":
        return SHIPPED_NETWORK if find_gpu() is not None else shipped_network(precision)
    try:
        is_ready = runs_tensorrt(load_network(SHIPPED_NETWORK), choice, store)
    except WeightsError:
        return SHIPPED_NETWORK  # opening it says what is wrong
    return SHIPPED_NETWORK if is_ready else shipped_network(precision)


def runs_tensorrt(network: Network, choice: EngineChoice, store: EngineStore | None = None) -> bool:
    """Whether a session would run the network by TensorRT: all that it takes is there."""
    gpu = None if choice == "onnx" else find_gpu()
    if gpu is None:
        return False
    try:
        identity = identity_of(network, choose_precision(network), find_tensorrt(), gpu)
        (EngineStore() if store is None else store).load(identity)
    except (EngineError, Unusable):
        return False
    except Exception:  # an import may raise anything: the session starts
        log.exception("TensorRT cannot be asked")
        return False
    return True


def wants_build(
    network: Network, choice: EngineChoice, gpu: Gpu | None, store: EngineStore | None = None
) -> str:
    """Why an engine should be built before a session starts; empty = it should not.

    With `auto` only what was built before is built again, after an update or with another GPU: who
    never asked for TensorRT is not made to wait for it.
    """
    if choice == "onnx" or gpu is None:
        return ""
    store = EngineStore() if store is None else store
    try:
        library, precision = find_tensorrt(), choose_precision(network)
        store.load(identity_of(network, precision, library, gpu))
    except EngineError:
        return ""  # nothing can be built here; the session says why
    except Unusable as reason:
        was_asked_for = choice == "tensorrt" or store.has_any(network.path.stem, precision)
        return str(reason) if was_asked_for else ""
    return ""
