"""Does one part of a frame's way on a thread of its own, while the next part has the frame before.

Parts are chained: each takes frames from the one before it as that does from the camera, and holds
one at most. A `Gate` before the first part lets in so many frames that the cores have work, and no
more: a frame waits for its turn at the camera, where a newer one may still take its place, and
threads that are all in Python at the same time only delay each other. Frames stay in order, and
what goes wrong on the way is raised by `take`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from streaming.closing import Closing

Given = TypeVar("Given")
Given_co = TypeVar("Given_co", covariant=True)
Done = TypeVar("Done")
SelfT = TypeVar("SelfT", bound="WorkingAhead[Any, Any]")

POLL_S = 0.1


class Frames(Protocol[Given_co]):
    """Where frames come from: `edge.camera.CameraThread`, a gate, or the part before."""

    @property
    def has_ended(self) -> bool:
        """True when no more will come; a last one may still be waiting."""
        ...

    def take(self, timeout_s: float) -> Given_co | None:
        """The newest one, or None after the timeout."""
        ...


class Gate(Generic[Given]):
    """Lets frames in while fewer than a number of them are on their way; for one taker."""

    def __init__(self, frames: Frames[Given], places: int) -> None:
        """At most `places` frames are between `take` and `leave`."""
        self._frames = frames
        self._changed = threading.Condition()
        self._free = places

    @property
    def has_ended(self) -> bool:
        """See `Frames.has_ended`; not before there is a place for the last one."""
        return self._frames.has_ended and self._free > 0

    def take(self, timeout_s: float) -> Given | None:
        """The newest frame once there is a place for it, or None after the timeout."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            if not self._changed.wait_for(lambda: self._free > 0, timeout_s):
                return None
        frame = self._frames.take(max(0.0, deadline_s - time.monotonic()))
        if frame is not None:
            with self._changed:
                self._free -= 1
        return frame

    def leave(self) -> None:
        """One frame has gone all its way."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()


class WorkingAhead(Closing, Generic[Given, Done]):
    """Hands frames that are worked on over as a camera does frames; use as a context manager."""

    def __init__(self, frames: Frames[Given], work: Callable[[Given], Done], name: str) -> None:
        """`work` is called on the thread `name`, in the frames' order."""
        self._frames = frames
        self._work = work
        self._changed = threading.Condition()
        self._waiting: Done | None = None
        self._is_stopped = self._has_ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self: SelfT) -> SelfT:
        """Start the thread."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop after the frame that is worked on; one that waits is given up."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join(timeout=5.0)

    @property
    def has_ended(self) -> bool:
        """True when no more will come; a last frame may still be waiting."""
        return self._has_ended

    def take(self, timeout_s: float) -> Done | None:
        """The next frame, or None after the timeout.

        Raises:
            Exception: what the frames or `work` raised, after the frames before it were taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._has_ended, timeout_s)
            done, self._waiting = self._waiting, None
            if done is not None:
                self._changed.notify_all()
            elif self._error is not None:
                raise self._error
            return done

    def _run(self) -> None:
        try:
            while self._has_room():
                has_ended = self._frames.has_ended  # asked first: the last one is still taken
                given = self._frames.take(POLL_S)
                if given is not None:
                    self._hand_over(self._work(given))
                elif has_ended:
                    return
        except Exception as error:  # travels to the next part's thread
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until the last frame was taken; False = the run is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None or self._is_stopped)
            return not self._is_stopped

    def _hand_over(self, done: Done) -> None:
        with self._changed:
            self._waiting = done
            self._changed.notify_all()
