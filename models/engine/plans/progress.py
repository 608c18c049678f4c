"""Progress of a build: TensorRT tells nested phases, people want one fraction."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

OnProgress = Callable[[float, str], None]  # share done 0..1, name of the innermost phase


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class BuildProgress:
    """Phases in, fractions out; may be called from several threads, as TensorRT does."""

    def __init__(self, on_progress: OnProgress) -> None:
        """`on_progress` is told every step; if it raises (Ctrl-C), the build is cancelled."""
        self._on_progress = on_progress
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.Lock()
        self._told = 0.0
        self.failure: BaseException | None = None

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins, within a step of `parent`."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))

    def advance(self, name: str, step: int) -> bool:
        """Step number `step` of a phase is done; False asks TensorRT to stop building."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = step + 1
            # Phases come and go; what is shown never goes backwards.
            self._told = max(self._told, self._fraction(None))
            fraction = self._told
        self._tell(fraction, name)
        return self.failure is None

    def finish(self, name: str) -> None:
        """A phase is over; TensorRT does not report the last step of the outermost."""
        with self._lock:
            phase = self._phases.pop(name, None)
        if phase is not None and phase.parent is None:
            self._tell(1.0, name)

    def _tell(self, fraction: float, name: str) -> None:
        if self.failure is not None:
            return
        try:
            self._on_progress(fraction, name)
        except BaseException as error:
            # Raised through native code it would end the process; kept for the caller.
            self.failure = error

    def _fraction(self, parent: str | None) -> float:
        """Share done of the furthest phase within `parent`."""
        shares = [
            (phase.done + (1 - phase.done / phase.steps) * self._fraction(name)) / phase.steps
            for name, phase in self._phases.items()
            if phase.parent == parent
        ]
        return min(1.0, max(shares, default=0.0))
