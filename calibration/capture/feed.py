"""Frames of a capture as they come: live ones newest first, files from their beginning."""

from __future__ import annotations

import time
from collections.abc import Callable

from calibration.capture.pictures import PictureFolder
from edge.camera import CameraThread, Source
from edge.settings import CameraSettings
from edge.timing import StageTimes
from edge.webcam import Webcam
from streaming.closing import Closing
from streaming.errors import UserError
from streaming.records import ImageU8

LOST_S = 15.0  # a camera that was unplugged is waited for so long


class Feed(Closing):
    """Reads a source in a thread of its own; use as a context manager.

    Args:
        open_source: opens it; a file is opened again for another attempt.
        paced: whether a file plays at its own rate, as a camera would; else as fast as it is read.
    """

    def __init__(self, open_source: Callable[[], Source], paced: bool = False) -> None:
        """Open the source, which may raise UserError."""
        self._open_source = open_source
        self._settings = CameraSettings(paced=paced)
        self._lost_since_s: float | None = None
        self._source = open_source()
        self._thread = self._start()

    @property
    def is_live(self) -> bool:
        """Whether somebody is there who can be asked to do something."""
        return isinstance(self._source, Webcam)

    @property
    def is_still(self) -> bool:
        """Whether frames are single pictures, of which none follows from the one before."""
        return isinstance(self._source, PictureFolder)

    @property
    def is_lost(self) -> bool:
        """Whether the camera is gone at the moment."""
        return isinstance(self._source, Webcam) and self._source.is_lost

    @property
    def has_ended(self) -> bool:
        """Whether the file is over (a last frame may still be waiting)."""
        return self._thread.has_ended

    def take(self, timeout_s: float = 0.1) -> tuple[float, ImageU8] | None:
        """(time in s, frame (H,W,3) BGR), or None when none came in time.

        Raises:
            UserError: the source failed, or the camera stays lost.
        """
        capture = self._thread.take(timeout_s)
        self._check_lost()
        if capture is None:
            return None
        if self.is_live:
            return capture.frame.capture_time_ns / 1e9, capture.frame.image
        return capture.frame.frame_id / self._source.fps, capture.frame.image

    def restart(self) -> None:
        """From the beginning again, for another attempt; a camera just goes on."""
        if not self.is_live:
            self._thread.__exit__()
            self._source = self._open_source()
            self._thread = self._start()

    def close(self) -> None:
        """Give the camera back."""
        self._thread.__exit__()
        # Not while that thread is in the driver: a camera may not be released under a read.
        if isinstance(self._source, Webcam) and self._thread.has_ended:
            self._source.close()

    def _start(self) -> CameraThread:
        return CameraThread(self._source, self._settings, StageTimes()).__enter__()

    def _check_lost(self) -> None:
        now_s = time.monotonic()
        if not self.is_lost:
            self._lost_since_s = None
        elif self._lost_since_s is None:
            self._lost_since_s = now_s
        elif now_s - self._lost_since_s > LOST_S:
            raise UserError(
                "The camera was lost and did not come back; no profile was saved.",
                "Check its cable and start again. A profile made before is unchanged.",
            )
