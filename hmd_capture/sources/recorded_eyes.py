"""A video file or a folder of images in place of an eye camera, played over and over."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hmd_capture.sources.device import BadPicture, DeviceLost, Shot
from hmd_capture.sources.pictures import decode_jpeg, grey
from streaming.clock import monotonic_ns
from streaming.errors import UserError
from streaming.records import ImageU8

DEFAULT_FPS = 30.0  # of folders, and of videos that tell none
MAX_FPS = 1000.0
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".tif", ".tiff")


class RecordedEyes:
    """Plays what a file or folder holds; an image's capture time is when it is played."""

    def __init__(self, path: str) -> None:
        """Raises `UserError` when there is nothing at `path`."""
        self.counts: Counter[str] = Counter()
        self._path = Path(path)
        if not self._path.exists():
            raise UserError(f"There is no {path}.", "Name a video file or a folder of images.")
        self._images: Iterator[ImageU8 | BadPicture] = iter(())
        self._period_s = 1.0 / DEFAULT_FPS
        self._due_s = 0.0
        self._video: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Begin at the beginning; raises `DeviceLost` when there is no image in it."""
        self._due_s = time.monotonic()
        if self._path.is_dir():
            files = sorted(p for p in self._path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not files:
                raise DeviceLost("the folder holds no images")
            self._period_s, self._images = 1.0 / DEFAULT_FPS, _folder(files)
            return
        self._video = cv2.VideoCapture(str(self._path))
        if not self._video.isOpened():
            raise DeviceLost("it is no video that OpenCV can read")
        fps = self._video.get(cv2.CAP_PROP_FPS)
        is_known = math.isfinite(fps) and 0 < fps <= MAX_FPS
        self._period_s, self._images = 1.0 / (fps if is_known else DEFAULT_FPS), _film(self._video)

    def read(self, timeout_s: float) -> Shot | None:
        """Return the next image when it is due; raises `BadPicture`, or `DeviceLost` at the end."""
        wait_s = self._due_s - time.monotonic()
        time.sleep(max(0.0, min(wait_s, timeout_s)))
        if wait_s > timeout_s:
            return None
        self._due_s = max(self._due_s + self._period_s, time.monotonic() - self._period_s)
        image = next(self._images, None)
        if image is None:
            raise DeviceLost("it is over")
        if isinstance(image, BadPicture):
            raise image
        return Shot(monotonic_ns(), image)

    def close(self) -> None:
        """Close the file."""
        self._images = iter(())
        if self._video is not None:
            self._video.release()
            self._video = None


def _folder(files: list[Path]) -> Iterator[ImageU8 | BadPicture]:
    while True:
        for file in files:
            try:
                yield _read_image(file)
            except BadPicture as error:
                yield error


def _read_image(file: Path) -> ImageU8:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadPicture("no file", f"{file.name}, which cannot be read") from error
    if file.suffix.lower() in (".jpg", ".jpeg"):
        return decode_jpeg(content)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise BadPicture("no image", f"{file.name}, which is no image")
    return grey(image)


def _film(video: cv2.VideoCapture) -> Iterator[ImageU8 | BadPicture]:
    """All images over and over; ends when not even the first one can be read."""
    count = 0
    while True:
        is_read, image = video.read()
        if is_read:
            count += 1
            try:
                yield grey(np.asarray(image))
            except BadPicture as error:
                yield error
        elif count == 0:
            return
        else:
            count = 0
            video.set(cv2.CAP_PROP_POS_FRAMES, 0)
