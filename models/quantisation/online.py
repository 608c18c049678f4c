"""Runs an exported recurrent network frame by frame and keeps what entered it. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.contract import FILL, INPUT, next_name
from models.engine.onnx import empty_states, session_options

Float32Array = NDArray[np.float32]
Feed = dict[str, NDArray[Any]]  # every input of the network by name: the frame and all states


class OnlineNetwork:
    """An ONNX file with its states; `OnnxEngine` is quicker, this one shows the states."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load the file; the states mean 0."""
        self._session = onnxruntime.InferenceSession(
            str(path), session_options(threads), providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._empty = empty_states(self._session)
        self.states: Feed = {}
        self.reset()

    def reset(self) -> None:
        """Let the states mean 0."""
        self.states = {name: empty.copy() for name, empty in self._empty.items()}

    def feed(self, inputs: Float32Array) -> Feed:
        """Everything that would enter the network with (1,8,S,S) `inputs` now."""
        return {INPUT: inputs, **self.states}

    def step(self, inputs: Float32Array) -> Float32Array:
        """Run one frame: (1,8,S,S) in, (1,3,S,S) out."""
        said = dict(zip(self._outputs, self._session.run(None, self.feed(inputs)), strict=True))
        self.states = {name: said[next_name(name)] for name in self.states}
        return np.asarray(said[FILL], np.float32)


def range_feeds(
    network: OnlineNetwork, clips: Iterable[Iterable[Float32Array]], frames: frozenset[int]
) -> list[Feed]:
    """What enters the network at some frames of each clip, its states as warm as in use.

    `clips` hold (1,8,S,S) inputs in their order; `frames` are the indices that are kept.
    """
    kept: list[Feed] = []
    for clip in clips:
        network.reset()
        for index, inputs in enumerate(clip):
            if index in frames:
                kept.append(network.feed(inputs))
            network.step(inputs)
    return kept
