"""Where the pictures of the board come from: a camera, a film, a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.video_file import VideoFile
from edge.webcam import Webcam
from hmd_capture.sources.address import open_inputs
from hmd_capture.sources.eye_view import EyeCameraSettings
from streaming.errors import UserError
from streaming.messages import EyeImage
from streaming.records import ImageU8, Side

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
STRIDE = 3  # of a film's frames one is looked at, with the one before it
EYE_WAIT_S = 10.0  # until an eye camera sends its first picture


def pictures_of_folder(folder: Path) -> Iterator[ImageU8]:
    """Pictures by name; those that cannot be read are left out.

    Raises:
        UserError: there is none.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise UserError(f"There are no pictures in {folder}.", "They should be .jpg or .png files.")
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is not None:
            yield np.asarray(image, np.uint8)


def pictures_of_film(path: Path) -> Iterator[ImageU8]:
    """Pairs of neighbouring frames, so that a board at rest is told from one in motion."""
    for index, image in VideoFile(path).frames():
        if index % STRIDE < 2:
            yield image


def pictures_of_webcam(camera_id: str, seconds: float) -> Iterator[ImageU8]:
    """Live pictures for so long, whether or not the camera is lost meanwhile."""
    webcam = Webcam(camera_id)
    end = threading.Timer(seconds, webcam.stop)
    end.daemon = True
    end.start()
    try:
        for _, image in webcam.frames():
            yield image
    finally:
        end.cancel()
        webcam.close()


def pictures_of_eye(side: Side, source: str, seconds: float) -> Iterator[ImageU8]:
    """Live pictures of an eye camera as its sensor lies: not cut, turned or flipped.

    Raises:
        UserError: it sends nothing.
    """
    woken = threading.Event()
    (camera,) = open_inputs({side: EyeCameraSettings(source)}, woken)
    end_s = time.monotonic() + seconds
    first_s = time.monotonic() + EYE_WAIT_S
    try:
        while time.monotonic() < end_s:
            woken.wait(0.1)
            woken.clear()
            for taken in camera.take():
                if isinstance(taken, EyeImage):
                    yield taken.image
            if not camera.was_heard and time.monotonic() > first_s:
                raise UserError(f"{source} sends no pictures: {camera.trouble or camera.hint}.")
    finally:
        camera.close()
