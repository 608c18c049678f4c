"""An engine that may fail, with another behind it: a session outlives its engine."""

from __future__ import annotations

from collections.abc import Callable

from models.engine.interface import Engine, Float32Array

Tell = Callable[[str], None]


class FallbackEngine:
    """Runs an engine until it fails, then another one for good; see `Engine`."""

    def __init__(self, engine: Engine, make_other: Callable[[], Engine], tell: Tell) -> None:
        """`make_other` is called at the first failure; `tell` is told of it in one sentence."""
        self._engine, self._make_other, self._tell = engine, make_other, tell
        self._has_failed = False

    @property
    def name(self) -> str:
        """Of the engine that runs now."""
        return self._engine.name

    @property
    def restarts(self) -> int:
        """See `Restarting.restarts`: the other engine remembers nothing."""
        return int(self._has_failed)

    def step(self, inputs: Float32Array) -> Float32Array:
        """Run one frame; after a failure the memory of earlier frames starts anew."""
        if self._has_failed:
            return self._engine.step(inputs)
        try:
            return self._engine.step(inputs)
        except Exception as error:  # whatever a GPU's libraries raise: the session goes on
            self._give_up(error)
            return self._engine.step(inputs)

    def reset(self) -> None:
        """Zero the states."""
        if self._has_failed:
            self._engine.reset()
            return
        try:
            self._engine.reset()
        except Exception as error:  # as in `step`
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._tell(f"TensorRT failed and onnxruntime goes on: {error}")
        self._engine, self._has_failed = self._make_other(), True
