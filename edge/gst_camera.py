"""Cameras behind a GStreamer pipeline, such as a Jetson's CSI cameras.

The pipeline runs in `gst-launch-1.0`, because the OpenCV that pip installs has no GStreamer. Its
images come through a pipe as YUV4MPEG2, which tells its own size.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import time
import weakref

import cv2
import numpy as np

from edge.i420 import PlaneLayout
from edge.webcam import Webcam
from streaming.errors import UserError
from streaming.records import ImageU8

PREFIX = "gst:"
PROGRAM = "gst-launch-1.0"
# A leaky queue of one image: what is not taken in time is dropped there, not delayed.
# OpenCV reads I420 as BT.601; HD comes as BT.709, also where its caps do not say so.
TAIL = (
    "! queue leaky=downstream max-size-buffers=1 ! videoconvert "
    "! video/x-raw,format=I420,colorimetry=bt601 ! y4menc ! fdsink fd=1 sync=false"
)
START_S, STALL_S = 15.0, 3.0  # a sensor's first image takes seconds; later none that long
STOP_S = 2.0  # after SIGTERM, before SIGKILL
LONGEST_LINE = 200  # of the stream's text
FRAME = b"FRAME"  # how the line before each image begins
PIPE_BYTES = 1 << 20  # Linux's largest; an image in few pieces
NO_IMAGE = np.empty((0, 0, 3), np.uint8)


def gst_camera(pipeline: str, fps: float, max_side_px: int) -> Webcam:
    """A live camera; a pipeline that ends is started again.

    Raises:
        UserError: GStreamer is missing, or the pipeline gives no image.
    """
    if shutil.which(PROGRAM) is None:
        raise UserError(
            f"{PREFIX} needs {PROGRAM}, which is missing.",
            "Run `sudo apt-get install -y gstreamer1.0-tools gstreamer1.0-plugins-good`.",
        )
    try:
        shlex.split(pipeline)
    except ValueError as error:
        raise UserError(f"The pipeline {pipeline!r} is no command line: {error}.") from error
    return Webcam(PREFIX + pipeline, fps, max_side_px, open_device=lambda *_: GstPipe(pipeline))


class GstPipe:
    """One running pipeline; see `edge.webcam.Device`."""

    def __init__(self, pipeline: str) -> None:
        """Start it and wait for its first words."""
        words = shlex.split(f"{pipeline} {TAIL}")
        self._process = subprocess.Popen(
            [PROGRAM, "-q", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0
        )
        # At the latest when this program ends: a pipeline that is stuck would not notice.
        self._end = weakref.finalize(self, _end, self._process)
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        _enlarge(self._pipe)
        self._pending = bytearray()
        self._size = self._read_header()
        self._layout: PlaneLayout | None = None  # known with the first image

    def isOpened(self) -> bool:
        """Whether the pipeline delivers."""
        return self._size is not None

    def read(self) -> tuple[bool, ImageU8]:
        """Wait for an image, (H,W,3) BGR; False when the pipeline has ended or stands still."""
        if self._size is None or self._line(STALL_S) is None:  # FRAME
            return False, NO_IMAGE
        layout = self._layout = self._layout or self._found_layout(*self._size)
        content = self._exactly(layout.size_bytes, STALL_S)
        if content is None:
            return False, NO_IMAGE
        planes = layout.planes(content)
        return True, np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def release(self) -> None:
        """End the pipeline."""
        self._end()

    def _read_header(self) -> tuple[int, int] | None:
        line = self._line(START_S)
        if line is None or not line.startswith(b"YUV4MPEG2"):
            return None
        fields = {word[:1]: word[1:] for word in line.split()[1:]}
        try:
            width, height = int(fields[b"W"]), int(fields[b"H"])
        except (KeyError, ValueError):
            return None
        return None if width % 2 or height % 2 else (width, height)

    def _found_layout(self, width: int, height: int) -> PlaneLayout:
        """By what follows a packed image: `y4menc` leaves rows filled up or not, by its version."""
        packed, padded = PlaneLayout.packed(width, height), PlaneLayout.padded(width, height)
        end = packed.size_bytes
        if packed == padded:
            return packed
        self._has(end + len(FRAME), STALL_S)
        after = bytes(self._pending[end : end + len(FRAME)])
        return packed if FRAME.startswith(after) else padded

    def _line(self, patience_s: float) -> bytes | None:
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > LONGEST_LINE or not self._fill(patience_s):
                return None
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return line

    def _exactly(self, count: int, patience_s: float) -> bytes | None:
        if not self._has(count, patience_s):
            return None
        content = bytes(self._pending[:count])
        del self._pending[:count]
        return content

    def _has(self, count: int, patience_s: float) -> bool:
        """Wait until so many bytes are there; False when they do not come."""
        deadline = time.monotonic() + patience_s
        while len(self._pending) < count:
            if not self._fill(deadline - time.monotonic()):
                return False
        return True

    def _fill(self, patience_s: float) -> bool:
        ready, _, _ = select.select([self._pipe], [], [], max(0.0, patience_s))
        piece = os.read(self._pipe, PIPE_BYTES) if ready else b""
        self._pending += piece
        return bool(piece)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _enlarge(pipe: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # only slower
