"""The narrow view of a GPU that an engine has; one real implementation, a stand-in in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray


class Device(Protocol):
    """Device memory and one stream. What is queued runs in order, later, until `synchronise`.

    All calls come from the thread that opened the device.
    """

    @property
    def stream(self) -> int:
        """Handle of the stream; never the default one, which cannot be captured."""
        ...

    def allocate(self, byte_count: int) -> int:
        """Address of new device memory, of undefined content; freed by `close`."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """A zeroed page-locked host array: only such memory is copied without a detour."""
        ...

    def zero(self, address: int, byte_count: int) -> None:
        """Queue: set device memory to zero."""
        ...

    def upload(self, address: int, source: NDArray[Any]) -> None:
        """Queue: pinned array to device memory."""
        ...

    def download(self, target: NDArray[Any], address: int) -> None:
        """Queue: device memory to pinned array."""
        ...

    def capture(self, work: Callable[[], None]) -> int:
        """Record what `work` queues, without running it; returns the graph for `launch`.

        Raises:
            EngineError: something in `work` cannot be captured.
        """
        ...

    def launch(self, graph: int) -> None:
        """Queue a captured graph."""
        ...

    def synchronise(self) -> None:
        """Wait until everything queued has run; raises EngineError if it failed."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...
