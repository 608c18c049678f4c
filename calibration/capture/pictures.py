"""Sources of a capture: a webcam, a video file, or a folder of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.camera import Source, open_source
from edge.settings import CameraSettings
from streaming.errors import UserError
from streaming.records import ImageU8

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
PICTURES_FPS = 10.0  # as if somebody showed them at this rate
MAX_SIDE_PX = 1280


class PictureFolder:
    """Pictures of one bare face as a source, in the order of their names.

    Raises:
        UserError: the folder holds no pictures.
    """

    fps = PICTURES_FPS

    def __init__(self, folder: Path) -> None:
        """List the pictures; they are read one by one."""
        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
        if not self.paths:
            raise UserError(
                f"{folder} holds no pictures ({', '.join(ENDINGS)}).",
                "Name a folder of photos of the bare face, or a video file.",
            )

    def frames(self) -> Iterator[tuple[int, ImageU8]]:
        """Yield (index, (H,W,3) uint8 BGR image); what cannot be read is left out."""
        for index, path in enumerate(self.paths):
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is not None:
                yield index, _at_most(np.asarray(image, np.uint8), MAX_SIDE_PX)


def open_capture_source(video: Path | None, camera: str | None) -> Source:
    """Open what was named: exactly one of a file or folder, and a camera.

    Raises:
        UserError: none or both are named, or it cannot be opened.
    """
    if (video is None) == (camera is None):
        raise UserError("Name either --video FILE or --camera ID.", "For a webcam try --camera 0.")
    if video is not None and video.is_dir():
        return PictureFolder(video)
    if camera is not None:
        _check_permission(camera)
    return open_source(CameraSettings(source=str(video) if video else f"webcam:{camera}"))


def _check_permission(camera: str) -> None:
    """OpenCV only says that a camera does not open, not that it may not be."""
    device = Path(f"/dev/video{camera}" if camera.isdecimal() else camera)
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        raise UserError(
            f"You may not use the camera {device}.",
            "Add yourself to its group (`sudo usermod -aG video $USER`) and log in again.",
        )


def _at_most(image: ImageU8, side_px: int) -> ImageU8:
    scale = side_px / max(image.shape[:2])
    if scale >= 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
