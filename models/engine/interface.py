"""What every engine offers, whichever runtime is underneath."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
EngineChoice = Literal["auto", "onnx", "tensorrt"]


class EngineError(Exception):
    """An engine cannot be built, opened or run here; the message is one sentence with the fix."""


class Engine(Protocol):
    """Runs a recurrent network frame by frame; the states stay where they are."""

    @property
    def name(self) -> str:
        """Runtime, device and precision, such as `onnxruntime CPU INT8`."""
        ...

    def step(self, inputs: Float32Array) -> Float32Array:
        """Run one frame: (B,8,S,S) in, (B,3,S,S) out. The output is valid until the next step."""
        ...

    def reset(self) -> None:
        """Zero the states."""
        ...
