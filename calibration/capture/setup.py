"""What a capture remembers of its camera and tracker."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from calibration.capture.pictures import PictureFolder, open_capture_source
from edge import gst_camera
from edge.bare_face_trackers import MediaPipeTracker
from edge.camera import WEBCAM, Source
from edge.devices import CameraDevice, find_camera
from edge.setup.part import CaptureSetup, Kind
from edge.video_file import VideoFile


class CaptureSource:
    """Opens what `open_capture_source` opens, as often as it is called, and knows what it was."""

    def __init__(
        self,
        video: Path | None,
        camera: str | None,
        find: Callable[[str], CameraDevice | None] = find_camera,
    ) -> None:
        """Open nothing yet; `find` looks up a connected camera."""
        bare = camera and camera.removeprefix(WEBCAM)  # other commands want it with that
        self._video, self._camera, self._find = video, bare, find
        self._source: Source | None = None

    def __call__(self) -> Source:
        """Open it.

        Raises:
            UserError: as of `open_capture_source`.
        """
        self._source = open_capture_source(self._video, self._camera)
        return self._source

    def setup(self, size_px: tuple[int, int]) -> CaptureSetup:
        """Of pictures of (width, height) that it gave.

        Raises:
            ValueError: it was not opened.
        """
        if self._source is None:
            raise ValueError("nothing was captured yet")
        kind, version = self._kind(self._source), _version_of("mediapipe")
        made = CaptureSetup(kind, size_px, self._source.fps, MediaPipeTracker.name, version)
        if self._camera is None or kind != "webcam":
            return made
        found = self._find(self._camera)
        if found is None:  # opened, but not among those that the system lists
            return replace(made, camera_id=self._camera, camera_name=f"camera {self._camera}")
        return replace(
            made,
            camera_id=found.id,
            typed_id=self._camera,
            camera_name=found.name,
            serial=found.serial,
        )

    def remark(self) -> str:
        """What is wrong with the file itself, once its end was reached; "" = nothing is known."""
        missing_s = self._source.missing_s if isinstance(self._source, VideoFile) else 0.0
        if not missing_s:
            return ""
        return (
            f"The video ends early: its last {missing_s:.1f} s are missing from the file. If "
            "something of the face is in them, copy the file again and repeat this."
        )

    def _kind(self, source: Source) -> Kind:
        if isinstance(source, PictureFolder):
            return "pictures"
        if self._camera is None:
            return "recording"
        return "gst" if self._camera.startswith(gst_camera.PREFIX) else "webcam"


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
