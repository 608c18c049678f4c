"""A webcam that survives being unplugged: it is opened again with growing pauses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.pixel_format import as_bgr
from hmd_capture.camera_address import opencv_address
from streaming.errors import UserError
from streaming.records import ImageU8

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
SILENT_S = 2.0  # a driver waits for ten before it gives a camera up
SILENT = 0  # OpenCV's level of its own log


class Device(Protocol):
    """What is needed of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:
        """Whether the camera answers."""
        ...

    def read(self) -> tuple[bool, NDArray[Any]]:
        """Wait for an image; False when the camera is gone."""
        ...

    def release(self) -> None:
        """Give the camera back."""
        ...


class Webcam:
    """A live camera.

    Args:
        camera_id: an OpenCV index ("0"), a device path, or a name in /dev/v4l/by-id.
        fps: rate asked of the camera; it may deliver another.
        max_side_px: larger images are scaled down.
        open_device: for tests.

    Raises:
        UserError: it cannot be opened now.
    """

    def __init__(
        self,
        camera_id: str,
        fps: float = 30.0,
        max_side_px: int = 1280,
        open_device: Callable[[int | str, float], Device] | None = None,
    ) -> None:
        """Open the camera."""
        self.camera_id = camera_id
        self.fps = fps
        self.is_lost = False
        self._max_side_px = max_side_px
        self._open_device = open_device or _open_opencv
        self._stop = threading.Event()
        self._asked_s: float | None = None  # since when an image is waited for
        self._lost_s, self._pause_s = 0.0, FIRST_PAUSE_S
        self._device = self._open()
        if self._device is None:
            raise UserError(
                f"Camera {camera_id!r} cannot be opened.",
                "Run `unvisor devices` to see what is connected, and close programs that use it.",
            )

    @property
    def trouble(self) -> str:
        """Why no image comes, in a sentence for the user; empty = all is well. From any thread."""
        if self.is_lost:
            return "the camera is lost: check its cable; reconnecting"
        asked_s = self._asked_s
        if asked_s is None or time.monotonic() - asked_s < SILENT_S:
            return ""
        return "the camera sends no pictures: check its cable, and close programs that use it"

    def frames(self) -> Iterator[tuple[int, ImageU8]]:
        """Yield images until `close`; a lost camera is waited for."""
        index = 0
        try:
            while not self._stop.is_set():
                image = self._read()
                if image is not None:
                    yield index, image
                    index += 1
        finally:
            self.close()

    def stop(self) -> None:
        """End `frames` after the present image, or the wait for a lost camera; from any thread."""
        self._stop.set()

    def close(self) -> None:
        """Stop and give the camera back."""
        self._stop.set()
        if self._device is not None:
            self._device.release()
            self._device = None

    def _read(self) -> ImageU8 | None:
        if self._device is None:
            return None
        self._asked_s = time.monotonic()
        is_read, image = self._device.read()
        self._asked_s = None
        picture = as_bgr(image) if is_read and image is not None else None
        if picture is not None:
            self._tell_that_it_is_back()
            return _at_most(picture, self._max_side_px)
        self._device.release()
        self._device = None
        self._reconnect()
        return None

    def _reconnect(self) -> None:
        """Open it again; it counts as lost until it gives an image."""
        if not self.is_lost:
            self.is_lost, self._lost_s, self._pause_s = True, time.monotonic(), FIRST_PAUSE_S
            log.warning("camera %s is lost: check its cable; trying again", self.camera_id)
        while self._device is None and not self._stop.wait(self._pause_s):
            self._device = self._open()
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _tell_that_it_is_back(self) -> None:
        if self.is_lost:
            self.is_lost = False
            away_s = time.monotonic() - self._lost_s
            log.warning("camera %s is back after %.1f s", self.camera_id, away_s)

    def _open(self) -> Device | None:
        device = self._open_device(opencv_address(self.camera_id), self.fps)
        if device.isOpened():
            return device
        device.release()
        return None


def _open_opencv(address: int | str, fps: float) -> Device:
    before = cv2.setLogLevel(SILENT)  # what is wrong is told in our own words
    try:
        device = cv2.VideoCapture(address)
    finally:
        cv2.setLogLevel(before)
    device.set(cv2.CAP_PROP_FPS, fps)
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else the driver queues up to four old images
    return device


def _at_most(image: ImageU8, max_side_px: int) -> ImageU8:
    scale = max_side_px / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
