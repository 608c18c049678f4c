"""Tracks the next frame on a thread of its own while the one before it is restored.

Two frames at most are on their way, one in each half. Nothing waits while there is nothing to do:
an idle restorer gets a frame that is tracked as soon as the camera has it. While the restorer is
busy, tracking begins just in time for it to become free, and not earlier: until then a newer frame
may come, and the restorer is best left alone while it prepares its frame. That is Python with many
short calls, which another thread of Python delays; later it runs its network and nothing else.
Frames stay in order, and what goes wrong on the way is raised by `take`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from edge.records import Capture, Tracked

LEARNING_SHARE = 0.1  # of the newest time in the mean times
# Of the time of tracking: it begins so much earlier than it would have to. On two cores 0.8 and 1.2
# gave 31 fps, 0.3 gave 30, and beginning at once 27.
SPARE_SHARE = 1.0
POLL_S = 0.1


class Captures(Protocol):
    """What is needed of `edge.camera.CameraThread`."""

    @property
    def has_ended(self) -> bool:
        """True when no more will come; a last capture may still be waiting."""
        ...

    def take(self, timeout_s: float) -> Capture | None:
        """The newest capture, or None after the timeout."""
        ...


class TrackingAhead:
    """Hands tracked frames over as a camera does frames; use as a context manager."""

    def __init__(
        self,
        captures: Captures,
        track: Callable[[Capture], Tracked],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`track` is called on the thread, in the order of the frames; `clock` tells seconds."""
        self._captures = captures
        self._track = track
        self._clock = clock
        self._head_start = _HeadStart()
        self._changed = threading.Condition()
        self._waiting: Tracked | None = None
        self._busy_since_s: float | None = None  # when the restorer took a frame; None = it is idle
        self._is_stopped = self._has_ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)

    def __enter__(self) -> TrackingAhead:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop after the frame that is being tracked; one that waits is given up."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join(timeout=5.0)

    @property
    def has_ended(self) -> bool:
        """True when no more will come; a last frame may still be waiting."""
        return self._has_ended

    def take(self, timeout_s: float) -> Tracked | None:
        """The next frame, or None after the timeout; asking says that the last one is done.

        Raises:
            Exception: what the captures or `track` raised, after the frames before it were taken.
        """
        with self._changed:
            self._note_idle()
            self._changed.wait_for(lambda: self._waiting or self._has_ended, timeout_s)
            tracked, self._waiting = self._waiting, None
            if tracked is not None:
                self._busy_since_s = self._clock()
                self._changed.notify_all()
            elif self._error is not None:
                raise self._error
            return tracked

    def _note_idle(self) -> None:
        if self._busy_since_s is None:
            return
        self._head_start.restoring.add(self._clock() - self._busy_since_s)
        self._busy_since_s = None
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._is_time():
                has_ended = self._captures.has_ended  # asked first: the last one is still taken
                capture = self._captures.take(POLL_S)
                if capture is not None:
                    self._hand_over(self._tracked(capture))
                elif has_ended:
                    return
        except Exception as error:  # travels to the restorer's thread
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _tracked(self, capture: Capture) -> Tracked:
        begin_s = self._clock()
        tracked = self._track(capture)
        self._head_start.tracking.add(self._clock() - begin_s)
        return tracked

    def _hand_over(self, tracked: Tracked) -> None:
        with self._changed:
            self._waiting = tracked
            self._changed.notify_all()

    def _is_time(self) -> bool:
        """Wait until the next frame should be taken; False = the run is over."""
        with self._changed:
            while not self._is_stopped:
                left_s = self._left_s()
                if self._waiting is None and left_s <= 0:
                    return True
                self._changed.wait(None if self._waiting is not None else left_s)
        return False

    def _left_s(self) -> float:
        """Until tracking is to begin so that it ends when the restorer becomes free."""
        if self._busy_since_s is None:
            return 0.0
        return self._busy_since_s + self._head_start.delay_s - self._clock()


class _HeadStart:
    """How long after the restorer began with a frame the next one's tracking should begin."""

    def __init__(self) -> None:
        self.restoring, self.tracking = _MeanTime(), _MeanTime()

    @property
    def delay_s(self) -> float:
        needed_s = (1 + SPARE_SHARE) * self.tracking.seconds
        return max(0.0, self.restoring.seconds - needed_s)


class _MeanTime:
    """A mean that forgets; the first time counts wholly."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_known = False

    def add(self, seconds: float) -> None:
        share = LEARNING_SHARE if self._is_known else 1.0
        self.seconds += share * (seconds - self.seconds)
        self._is_known = True
