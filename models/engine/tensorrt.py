"""Engine on TensorRT: states stay on the GPU, one captured graph per frame, one wait.

The states live in two sets of buffers used in turn, and a CUDA graph is bound to its addresses.
So there are two execution contexts and two graphs: even frames read set 0 and write set 1, odd
frames the reverse. Each graph holds upload, network and download.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.contract import TensorContract, TensorSpec, next_name
from models.engine.cuda.device import Device
from models.engine.interface import EngineError, Float32Array

log = logging.getLogger(__name__)


class Context(Protocol):
    """An execution context, see `plans.calls.PlanContext`."""

    def bind(self, name: str, address: int) -> None:
        """Let a tensor live at a device address."""
        ...

    def enqueue(self, stream: int) -> None:
        """Queue one run on a stream."""
        ...


class Plan(Protocol):
    """A deserialised plan, see `plans.calls.OpenedPlan`."""

    @property
    def tensors(self) -> Sequence[TensorSpec]:
        """Its inputs and outputs, states among them."""
        ...

    def context(self) -> Context:
        """A new execution context."""
        ...


class TensorRtEngine:
    """Runs a plan on a device; see `Engine`. All calls from the thread that made it."""

    def __init__(
        self, contract: TensorContract, plan: Plan, device: Device, name: str = "TensorRT"
    ) -> None:
        """Allocate, bind, warm up, capture and reset; raises EngineError if any of it fails.

        `name` is what reports call it.
        """
        self.name = name
        _compare(contract, plan.tensors)
        self._contract, self._device = contract, device
        self._inputs = [device.pinned(spec.shape, spec.dtype) for spec in contract.inputs]
        self._outputs = [device.pinned(spec.shape, spec.dtype) for spec in contract.outputs]
        ends = (*contract.inputs, *contract.outputs)
        self._addresses = {spec.name: device.allocate(_bytes(spec)) for spec in ends}
        self._states = tuple(
            [device.allocate(_bytes(spec)) for spec in contract.states] for _ in range(2)
        )
        self._contexts = tuple(self._bound(plan, source) for source in range(2))
        self._turn = 0
        self._graphs = self._captured()
        self.reset()

    def step(self, inputs: Float32Array) -> Float32Array:
        """Run one frame: (1,8,S,S) in, (1,3,S,S) out. The output is valid until the next step.

        Raises:
            EngineError: the GPU failed.
        """
        (spec,) = self._contract.inputs
        return self.run({spec.name: inputs})[self._contract.outputs[0].name]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one frame, all inputs and outputs by name; outputs are valid until the next run."""
        for spec, pinned in zip(self._contract.inputs, self._inputs, strict=True):
            np.copyto(pinned, inputs[spec.name])
        if self._graphs:
            self._device.launch(self._graphs[self._turn])
        else:
            self._queue(self._turn)
        self._device.synchronise()
        self._turn = 1 - self._turn
        names = (spec.name for spec in self._contract.outputs)
        return dict(zip(names, self._outputs, strict=True))

    def reset(self) -> None:
        """Zero the states."""
        self._turn = 0
        for spec, address in zip(self._contract.states, self._states[0], strict=True):
            self._device.zero(address, _bytes(spec))
        self._device.synchronise()

    def close(self) -> None:
        """Free the device; the engine cannot be used any more."""
        self._contexts, self._graphs = (), ()
        self._device.close()

    def _bound(self, plan: Plan, source: int) -> Context:
        context = plan.context()
        for name, address in self._addresses.items():
            context.bind(name, address)
        for index, spec in enumerate(self._contract.states):
            context.bind(spec.name, self._states[source][index])
            context.bind(next_name(spec.name), self._states[1 - source][index])
        return context

    def _captured(self) -> tuple[int, ...]:
        """Both graphs; none where the GPU refuses to capture, which only costs time."""
        # The first run of a context may allocate, which cannot be captured. It fills the states
        # with what lay in the memory, hence the reset that follows.
        for turn in range(2):
            self._queue(turn)
        self._device.synchronise()
        try:
            return tuple(self._device.capture(partial(self._queue, turn)) for turn in range(2))
        except EngineError as error:
            log.warning("running without CUDA graphs: %s", error)
            return ()

    def _queue(self, turn: int) -> None:
        device, contract = self._device, self._contract
        for spec, pinned in zip(contract.inputs, self._inputs, strict=True):
            device.upload(self._addresses[spec.name], pinned)
        self._contexts[turn].enqueue(device.stream)
        for spec, pinned in zip(contract.outputs, self._outputs, strict=True):
            device.download(pinned, self._addresses[spec.name])


def _bytes(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize


def _compare(contract: TensorContract, tensors: Sequence[TensorSpec]) -> None:
    """A plan of another network would run, and write beyond our buffers."""
    leaving = [TensorSpec(next_name(s.name), s.shape, dtype=s.dtype) for s in contract.states]
    wanted = {
        spec.name: (spec.shape, spec.dtype)
        for spec in (*contract.inputs, *contract.outputs, *contract.states, *leaving)
    }
    found = {spec.name: (spec.shape, spec.dtype) for spec in tensors}
    if wanted != found:
        names = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
        name = names[0]
        raise EngineError(
            f"The engine does not fit the network: {name} is {found.get(name, 'missing')}, "
            f"expected {wanted.get(name, 'none')}."
        )
