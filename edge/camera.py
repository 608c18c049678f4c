"""The external camera as a thread: video files and webcams, newest frame wins.

A paced video file behaves like a live camera: frame n is due at t0 + n / fps, carries that time,
and is dropped if nobody was ready for it. Unpaced, every frame waits until it is taken.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from edge import gst_camera
from edge.records import Capture
from edge.settings import CameraSettings
from edge.timing import StageTimes
from edge.video_file import VideoFile
from edge.webcam import Webcam
from streaming.errors import UserError
from streaming.records import Frame, ImageU8
from streaming.slot import Latest

log = logging.getLogger(__name__)

WEBCAM = "webcam:"
Dress = Callable[[int, Frame], Capture]


class Source(Protocol):
    """Where images come from."""

    fps: float

    def frames(self) -> Iterator[tuple[int, ImageU8]]:
        """Yield (index in the source, (H,W,3) uint8 BGR image) until the source ends."""
        ...


class Inbox(Protocol):
    """Hands captures to the pipeline's thread."""

    def put(self, item: Capture) -> None:
        """Leave a capture for the taker."""
        ...

    def take(self, timeout_s: float | None = None) -> Capture | None:
        """Take one, or None after the timeout or when closed and empty."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


def is_live(source: str) -> bool:
    """Whether that names a camera, whose pace nobody can change, and no video file."""
    return source.startswith((WEBCAM, gst_camera.PREFIX))


def open_source(settings: CameraSettings) -> Source:
    """Open the camera or file that the settings name.

    Raises:
        UserError: it cannot be opened or read.
    """
    name = settings.source.removeprefix(WEBCAM)
    if name.startswith(gst_camera.PREFIX):
        pipeline = name.removeprefix(gst_camera.PREFIX)
        return gst_camera.gst_camera(pipeline, settings.fps, settings.max_width_px)
    if settings.source.startswith(WEBCAM):
        return Webcam(name, settings.fps, settings.max_width_px)
    _check_no_camera(settings.source)
    return VideoFile(Path(settings.source), settings.playback, settings.max_width_px)


def _check_no_camera(name: str) -> None:
    """Raise UserError for a camera's bare id, which other commands take, in a file's place."""
    is_id = name.isdecimal() and not Path(name).exists()
    if is_id or name.startswith(("/dev/video", "/dev/v4l/")):
        raise UserError(f"{name} is no video file.", f"For the camera write {WEBCAM}{name}.")


class CameraThread:
    """Runs a source and hands its captures over; use as a context manager."""

    def __init__(
        self,
        source: Source,
        settings: CameraSettings,
        times: StageTimes,
        dress: Dress | None = None,
    ) -> None:
        """Prepare; `dress` turns each bare frame into a capture (the simulated headset)."""
        self._source = source
        self._settings = settings
        self._times = times
        self._dress = dress or _as_it_is
        self._is_live = isinstance(source, Webcam)
        is_paced = settings.paced or self._is_live
        self._inbox: Inbox = Latest() if is_paced else Rendezvous()
        self._stop = threading.Event()
        self._begin_ns = 0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> CameraThread:
        """Start the thread."""
        self._begin_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop it and release the camera."""
        self._stop.set()
        if isinstance(self._source, Webcam):
            self._source.stop()  # it may be waiting for a camera that is lost
        self._inbox.close()
        self._thread.join(timeout=5.0)

    def take(self, timeout_s: float) -> Capture | None:
        """The newest capture, or None after the timeout.

        Raises:
            UserError: the source failed.
        """
        capture = self._inbox.take(timeout_s)
        if capture is None and self._error is not None:
            raise self._error
        return capture

    @property
    def has_ended(self) -> bool:
        """True when the source is over; a last capture may still be waiting.

        The time of a live camera runs out, too, while it is lost and its thread waits for it.
        """
        return not self._thread.is_alive() or (
            self._is_live and self._is_out_of_time(self._seconds_at(time.monotonic_ns()))
        )

    def _run(self) -> None:
        try:
            if self._is_live:
                self._run_live()
            else:
                self._run_file()
        except Exception as error:  # travels to the pipeline's thread
            self._error = error
        finally:
            self._inbox.close()

    def _run_live(self) -> None:
        images = self._timed()
        for frame_id, (index, image) in enumerate(images):
            # Read right after the driver hands the image over; its own stamp is not reachable here.
            now_ns = time.monotonic_ns()
            self._deliver(index, Frame(frame_id, now_ns, image))
            if self._is_over(self._seconds_at(now_ns)):
                return

    def _run_file(self) -> None:
        period_ns = 1e9 / self._source.fps
        begin_ns = 0
        for frame_id, (index, image) in enumerate(self._timed()):
            if self._is_over(frame_id / self._source.fps):
                return
            now_ns = time.monotonic_ns()
            begin_ns = begin_ns or now_ns
            due_ns = begin_ns + round(frame_id * period_ns)
            if not self._settings.paced:
                self._deliver(index, Frame(frame_id, now_ns, image))
            elif now_ns - due_ns < period_ns:
                self._stop.wait(max(0, due_ns - now_ns) / 1e9)
                self._deliver(index, Frame(frame_id, due_ns, image))
            # else: a whole period late; a camera would have dropped this one, and so do we.

    def _deliver(self, index: int, frame: Frame) -> None:
        self._inbox.put(self._dress(index, frame))

    def _seconds_at(self, time_ns: int) -> float:
        return (time_ns - self._begin_ns) / 1e9

    def _is_over(self, seconds: float) -> bool:
        return self._stop.is_set() or self._is_out_of_time(seconds)

    def _is_out_of_time(self, seconds: float) -> bool:
        limit = self._settings.seconds
        return limit > 0 and seconds >= limit

    def _timed(self) -> Iterator[tuple[int, ImageU8]]:
        """The source's images, with the time that decoding took."""
        images = self._source.frames()
        for frame_id in itertools.count():
            if self._stop.is_set():
                return
            self._times.begin_frame(frame_id)
            if self._is_live:  # reading a webcam is mostly waiting for it
                item = next(images, None)
            else:
                with self._times.measure("decode"):
                    item = next(images, None)
            if item is None:
                return
            yield item


class Rendezvous:
    """Hand-over without loss: `put` waits until there is room. For measuring capacity."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._queue: queue.Queue[Capture] = queue.Queue(maxsize=1)
        self._closed = threading.Event()

    def put(self, item: Capture) -> None:
        """Wait for room; after `close` the item is ignored."""
        while not self._closed.is_set():
            try:
                return self._queue.put(item, timeout=0.05)
            except queue.Full:
                continue

    def take(self, timeout_s: float | None = None) -> Capture | None:
        """Take one, or None after the timeout or when closed and empty."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                return self._queue.get(timeout=0.05)
            except queue.Empty:
                late = deadline is not None and time.monotonic() >= deadline
                if self._closed.is_set() or late:
                    return None

    def close(self) -> None:
        """Nothing more will come."""
        self._closed.set()


def _as_it_is(index: int, frame: Frame) -> Capture:
    return Capture(frame)
