"""Engine on onnxruntime: inputs, outputs and states bound once, two state buffers used in turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.contract import FILL, INPUT
from models.shipped import Network

Float32Array = NDArray[np.float32]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """How every network runs on the CPU: on `threads` cores at most, one layer at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would burn the cores that the camera and the publisher need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class OnnxEngine:
    """Runs an exported network on the CPU; nothing is allocated per frame."""

    def __init__(self, network: Network, threads: int = 2) -> None:
        """Load `network` and bind its tensors by name; `threads` cores at most."""
        self._session = onnxruntime.InferenceSession(
            network.content or str(network.path),
            session_options(threads),
            providers=["CPUExecutionProvider"],
        )
        contract = network.contract
        self._inputs = np.zeros(contract.inputs[0].shape, np.float32)
        self._fill = np.zeros(contract.outputs[0].shape, np.float32)
        self._states = tuple(
            [np.zeros(state.shape, state.dtype) for state in contract.states] for _ in range(2)
        )
        names = contract.state_names
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
        """Zero the states."""
        for state in self._states[self._turn]:
            state.fill(0)

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


def _bind(bind: onnxruntime.IOBinding, name: str, array: NDArray[Any]) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
