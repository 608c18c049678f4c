"""Who looks on while a session runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streaming.messages import FrameMessage

Processes = Callable[[], dict[str, "int | None"]]


class Probe(Protocol):
    """Told by the supervisor what happens; all calls come from its thread."""

    def begin(self, processes: Processes) -> None:
        """The pipeline is ready; `processes()` gives the process ids by name, None = not there."""
        ...

    def arrived(self, message: FrameMessage, arrival_time_ns: int) -> None:
        """A restored face reached the supervisor's own subscriber."""
        ...

    def end(self) -> None:
        """The pipeline has ended or is about to."""
        ...


class NoProbe:
    """Looks away: an ordinary run."""

    def begin(self, processes: Processes) -> None:
        """See `Probe`."""

    def arrived(self, message: FrameMessage, arrival_time_ns: int) -> None:
        """See `Probe`."""

    def end(self) -> None:
        """See `Probe`."""
