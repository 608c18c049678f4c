"""Engine on onnxruntime: inputs, outputs and states bound once, two state buffers used in turn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.contract import FILL, INPUT, TensorContract, TensorSpec, next_name
from models.shipped import Network, manifest_path
from models.weights_error import REMEDY, WeightsError

Float32Array = NDArray[np.float32]
# In a file's metadata: the byte that means 0, by state. Other states are numbers that start as 0.
STATE_ZEROS = "state_zeros"
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
MOST_THREADS = 4  # by the rule; a user may want more


def threads_by_cores(cores: int) -> int:
    """Threads for one of two networks that run at the same time, tracker and filler.

    On two cores one each: two threads of a filler take 12.6 ms of wall time where one takes 17.6,
    but 2.6 ms more of the cores in all, which tracking the next frame needs meanwhile.
    """
    return max(1, min(MOST_THREADS, cores // 2))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every network runs on the CPU: on `threads` cores at most, one layer at a time.

    0 = as `threads_by_cores` says of the cores that this process may use.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or threads_by_cores(_usable_cores())
    options.inter_op_num_threads = 1
    # Spinning threads would burn the cores that the camera and the publisher need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    network: Path, threads: int, content: bytes | None = None
) -> onnxruntime.InferenceSession:
    """A network's file, or its `content` in memory, ready to run on the CPU.

    Raises:
        WeightsError: this onnxruntime cannot run it.
    """
    try:
        return onnxruntime.InferenceSession(
            content or str(network), session_options(threads), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors have no other class in common
        version = onnxruntime.__version__
        raise WeightsError(
            f"onnxruntime {version} cannot run {network.name} ({error}): install the version that "
            f"pyproject.toml asks for, or {REMEDY}."
        ) from error


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def empty_feed(session: onnxruntime.InferenceSession) -> dict[str, NDArray[Any]]:
    """What means 0 for every input of a file, by name, in the file's own types and layouts."""
    zeros = json.loads(session.get_modelmeta().custom_metadata_map.get(STATE_ZEROS, "{}"))
    return {
        given.name: np.full(given.shape, zeros.get(given.name, 0), DTYPES[given.type])
        for given in session.get_inputs()
    }


def empty_states(session: onnxruntime.InferenceSession) -> dict[str, NDArray[Any]]:
    """New states of a recurrent network by name, as at the start of a session."""
    return {name: value for name, value in empty_feed(session).items() if name != INPUT}


def cpu_name(precision: str) -> str:
    """What a report calls onnxruntime on the CPU, with a network of this precision."""
    return f"onnxruntime CPU {precision.upper()}"


class OnnxEngine:
    """Runs an exported network on the CPU; nothing is allocated per frame."""

    @property
    def name(self) -> str:
        """See `Engine.name`."""
        return self._name

    def __init__(self, network: Network, threads: int = 2) -> None:
        """Load `network` and bind its tensors by name; `threads` cores at most.

        Raises:
            WeightsError: it cannot be run, or its tensors are not those of its manifest.
        """
        self._session = open_session(network.path, threads, network.content)
        self._name = cpu_name(network.precision)
        contract = network.contract
        difference = _difference(contract, self._session)
        if difference:
            raise WeightsError(
                f"{manifest_path(network.path)} does not describe the network: {difference}; "
                f"{REMEDY}."
            )
        self._inputs = np.zeros(contract.inputs[0].shape, np.float32)
        self._fill = np.zeros(contract.outputs[0].shape, np.float32)
        names, empty = contract.state_names, empty_states(self._session)
        self._empty = [empty[name] for name, _ in names]
        self._states = tuple([state.copy() for state in self._empty] for _ in range(2))
        # Even frames read buffer 0 and write buffer 1, odd frames the reverse.
        self._bindings = tuple(self._bound(names, source, 1 - source) for source in range(2))
        self._turn = 0

    def step(self, inputs: Float32Array) -> Float32Array:
        """Run one frame: (1,8,S,S) in, (1,3,S,S) out. The output is valid until the next step."""
        np.copyto(self._inputs, inputs)
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn
        return self._fill

    def reset(self) -> None:
        """Let the states mean 0."""
        for state, empty in zip(self._states[self._turn], self._empty, strict=True):
            np.copyto(state, empty)

    def _bound(
        self, names: tuple[tuple[str, str], ...], source: int, target: int
    ) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        _bind(binding.bind_input, INPUT, self._inputs)
        _bind(binding.bind_output, FILL, self._fill)
        for (enters, leaves), before, after in zip(
            names, self._states[source], self._states[target], strict=True
        ):
            _bind(binding.bind_input, enters, before)
            _bind(binding.bind_output, leaves, after)
        return binding


def _difference(contract: TensorContract, session: onnxruntime.InferenceSession) -> str:
    """The first tensor of a file that is not as `contract` says; empty if all are."""
    leaving = [TensorSpec(next_name(s.name), s.shape, dtype=s.dtype) for s in contract.states]
    wanted = {
        spec.name: (spec.shape, spec.dtype)
        for spec in (*contract.inputs, *contract.outputs, *contract.states, *leaving)
    }
    found = {
        each.name: (tuple(each.shape), np.dtype(DTYPES[each.type]).name)
        for each in (*session.get_inputs(), *session.get_outputs())
    }
    for name in (*wanted, *found):
        if wanted.get(name) != found.get(name):
            return f"{name} is {found.get(name, 'missing')}, {wanted.get(name, 'none')} is expected"
    return ""


def _bind(bind: onnxruntime.IOBinding, name: str, array: NDArray[Any]) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
