"""Every call into TensorRT: one graph to a plan, one plan to something that runs.

`trt` is either module; what differs between them is asked of `TensorRt`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.contract import TensorSpec
from models.engine.interface import EngineError
from models.engine.plans.library import Precision, TensorRt
from models.engine.plans.progress import BuildProgress, OnProgress

log = logging.getLogger(__name__)

# A Jetson shares its memory with everything else; the kernels of these networks need far less.
WORKSPACE_BYTES = 1 << 30


@dataclass(frozen=True)
class BuiltPlan:
    """What a build gives."""

    plan: bytes
    timing_cache: bytes  # for the next build on this device; empty where there is none


def build_plan(
    library: TensorRt,
    model: bytes,
    precision: Precision,
    *,
    targets: Sequence[str] = (),
    timing_cache: bytes = b"",
    on_progress: OnProgress = lambda fraction, phase: None,
) -> BuiltPlan:
    """Build a plan from an ONNX file's bytes, for this GPU or for `targets` (`SM86`, …).

    Raises:
        EngineError: the graph does not parse or does not build; with TensorRT's own words.
        BaseException: whatever `on_progress` raised; the build was given up.
    """
    trt = library.module
    logger = _logger(library)
    builder = trt.Builder(logger)
    network = builder.create_network(library.network_flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        words = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise EngineError(f"{library.flavour} {library.version} cannot read the network: {words}.")
    config = _config(library, builder, precision, targets)
    progress = BuildProgress(on_progress)
    config.progress_monitor = _monitor(library, progress)
    if library.has_timing_cache:
        cache = config.create_timing_cache(timing_cache)
        config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if progress.failure is not None:
        raise progress.failure
    if plan is None:
        raise EngineError(
            f"{library.flavour} {library.version} cannot build the network: {logger.last}."
        )
    if library.has_timing_cache:
        timing_cache = bytes(config.get_timing_cache().serialize())
    return BuiltPlan(bytes(plan), timing_cache)


class OpenedPlan:
    """A deserialised plan; its execution contexts share it."""

    def __init__(self, library: TensorRt, plan: bytes) -> None:
        """Deserialise on the GPU whose context is current; raises EngineError if refused."""
        trt = library.module
        self._logger = _logger(library)  # TensorRT keeps no reference to it
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"TensorRT refuses the engine: {self._logger.last}.")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self.tensors = tuple(
            TensorSpec(
                name,
                _sides(self._engine.get_tensor_shape(name)),
                dtype=np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))).name,
            )
            for name in names
        )

    def context(self) -> PlanContext:
        """A context of its own: addresses bound to it stay, so that it can be captured."""
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot prepare the engine: {self._logger.last}.")
        return PlanContext(context)


class PlanContext:
    """One execution context with its own addresses."""

    def __init__(self, context: Any) -> None:
        """Wrap TensorRT's."""
        self._context = context

    def bind(self, name: str, address: int) -> None:
        """Let a tensor live at a device address; raises EngineError for an unknown name."""
        if not self._context.set_tensor_address(name, address):
            raise EngineError(f"The engine has no tensor {name}.")

    def enqueue(self, stream: int) -> None:
        """Queue one run on a stream; raises EngineError if it cannot be queued."""
        if not self._context.execute_async_v3(stream):
            raise EngineError("TensorRT could not queue the network.")


def _config(library: TensorRt, builder: Any, precision: Precision, targets: Sequence[str]) -> Any:
    trt = library.module
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    for flag in library.precision_flags(precision):
        config.set_flag(getattr(trt.BuilderFlag, flag))
    unknown = set(targets) - set(library.target_names())
    if unknown:
        known = ", ".join(library.target_names()) or "none: it builds for the GPU it runs on"
        raise EngineError(
            f"{library.flavour} cannot build for {', '.join(sorted(unknown))}; it knows {known}."
        )
    chosen = library.chosen_targets(targets)
    if chosen:
        config.num_compute_capabilities = len(chosen)
        for index, target in enumerate(chosen):
            config.set_compute_capability(getattr(trt.ComputeCapability, target), index)
    return config


def _sides(shape: Any) -> tuple[int, ...]:
    """TensorRT's Dims as a tuple; they can be indexed but are no iterable by their types."""
    return tuple(int(shape[index]) for index in range(len(shape)))


def _logger(library: TensorRt) -> Any:
    trt = library.module

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        """TensorRT's words into our log; the last error is kept for the sentence to the user."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = "no reason given"

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.last = msg.strip().rstrip(".")
                log.info("TensorRT: %s", msg)
            else:
                log.debug("TensorRT: %s", msg)

    return Logger()


def _monitor(library: TensorRt, progress: BuildProgress) -> Any:
    trt = library.module

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Hands TensorRT's phases on."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.advance(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()
