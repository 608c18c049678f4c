"""Cameras that OpenCV opens: USB video (UVC, V4L2) and GStreamer pipelines (CSI on a Jetson)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.camera_address import opencv_address
from hmd_capture.sources.device import DeviceLost, Shot
from hmd_capture.sources.pictures import grey
from streaming.clock import monotonic_ns
from streaming.errors import UserError

SHORT_PIPELINE = 60  # characters of a pipeline that fit into a sentence


class Capture(Protocol):
    """What is needed of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:
        """Whether the camera answers."""
        ...

    def grab(self) -> bool:
        """Wait for an image; False when the camera is gone."""
        ...

    def retrieve(self) -> tuple[bool, NDArray[Any]]:
        """Decode what was grabbed."""
        ...

    def release(self) -> None:
        """Give the camera back."""
        ...


class OpenCvCamera:
    """One camera. Reading blocks in the driver, which gives up by itself after some seconds."""

    def __init__(self, open_capture: Callable[[], Capture]) -> None:
        """`open_capture` is called for every (re)connection."""
        self.counts: Counter[str] = Counter()
        self._open_capture = open_capture
        self._capture: Capture | None = None

    def open(self) -> None:
        """Open the camera; raises `DeviceLost`."""
        self._capture = self._open_capture()
        if not self._capture.isOpened():
            raise DeviceLost("it cannot be opened")

    def read(self, timeout_s: float) -> Shot | None:
        """Wait for the next image; raises `DeviceLost` or `BadPicture`."""
        assert self._capture is not None
        if not self._capture.grab():
            raise DeviceLost("it gives no more images")
        time_ns = monotonic_ns()
        is_read, image = self._capture.retrieve()
        if not is_read or image is None:
            raise DeviceLost("its images cannot be decoded")
        return Shot(time_ns, grey(np.asarray(image)))

    def close(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def uvc_camera(camera_id: str) -> OpenCvCamera:
    """Make a USB camera by index, path, or name in /dev/v4l/by-id."""
    if not camera_id:
        raise UserError("uvc: names no camera.", "Write uvc:ID with an id of `unvisor devices`.")

    def open_capture() -> Capture:
        capture = cv2.VideoCapture(opencv_address(camera_id))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else the driver queues up to four old images
        return capture

    return OpenCvCamera(open_capture)


def gstreamer_camera(pipeline: str) -> OpenCvCamera:
    """Make a camera from a GStreamer pipeline; an appsink that keeps one image is added if missing.

    Raises `UserError` when this OpenCV was built without GStreamer.
    """
    if not has_gstreamer():
        raise UserError(
            f"The pipeline {pipeline[:SHORT_PIPELINE]!r} needs an OpenCV with GStreamer; the one "
            "that pip installs has none.",
            "Use the system's OpenCV (on a Jetson: a venv with --system-site-packages), or uvc:ID.",
        )
    if not pipeline.rstrip().endswith("appsink") and "appsink " not in pipeline:
        pipeline += " ! videoconvert ! appsink drop=true max-buffers=1 sync=false"

    def open_capture() -> Capture:
        return cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)

    return OpenCvCamera(open_capture)


def has_gstreamer() -> bool:
    """Whether this OpenCV can run GStreamer pipelines."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None
