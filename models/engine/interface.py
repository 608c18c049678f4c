"""What every engine offers, whichever runtime is underneath."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

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


@runtime_checkable
class Restarting(Protocol):
    """What remembers frames and may have to begin anew by itself: an engine, or what holds one."""

    @property
    def restarts(self) -> int:
        """How often it did so far."""
        ...


def restarts_of(part: object) -> int:
    """How often the memory of a part began anew by itself; 0 for one that never does."""
    return part.restarts if isinstance(part, Restarting) else 0
