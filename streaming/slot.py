"""`Latest`: the only thing that stands between two threads. One slot, newest wins."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Latest(Generic[Item]):
    """Hands the newest value from one thread to another; older ones are dropped and counted."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._drops = 0
        self._closed = False

    @property
    def drops(self) -> int:
        """How many values were overwritten before anyone took them."""
        with self._condition:
            return self._drops

    @property
    def closed(self) -> bool:
        """Whether `close` was called; the last value may still wait to be taken."""
        with self._condition:
            return self._closed

    def put(self, item: Item) -> None:
        """Leave `item` (anything but None) for the taker; after `close` it is ignored."""
        if item is None:
            raise ValueError("Latest holds values; None means that the slot is empty.")
        with self._condition:
            if self._closed:
                return
            if self._item is not None:
                self._drops += 1
            self._item = item
            self._condition.notify()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """Remove and return the newest value, waiting for one.

        Returns None after `timeout_s` seconds (None waits without end, 0 does not wait), and at
        once when the slot is closed and empty.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._condition:
            while self._item is None and not self._closed:
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return None
                self._condition.wait(left_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wake every taker; a value that is still there can be taken once."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
