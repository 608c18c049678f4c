"""What a user writes for an eye camera, and the device that is meant.

| source | device |
|---|---|
| `uvc:ID` | USB camera: index, path, or name in /dev/v4l/by-id |
| `mjpeg:http://HOST[:PORT][/PATH]` | EyeTrackVR or OpenIris board by Wi-Fi |
| `serial:PORT[@BAUD]` | the same board by USB |
| `pupil:tcp://HOST:PORT` | Pupil Capture (Pupil Remote's address) |
| `gst:PIPELINE` | GStreamer, such as a CSI camera |
| `file:PATH` | video file or folder of images |
| `split:SOURCE`, `split-swapped:SOURCE` | one of uvc, mjpeg, serial, gst, file with both eyes |
| `osc:PORT` | gaze and openness without images |
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from hmd_capture.sources.device import Device
from hmd_capture.sources.eye_view import EyeCameraSettings, EyeView, Half, make_view
from hmd_capture.sources.live_camera import LiveCamera
from hmd_capture.sources.mjpeg_http import MjpegHttp
from hmd_capture.sources.opencv_camera import gstreamer_camera, uvc_camera
from hmd_capture.sources.osc_eyes import OscEyes
from hmd_capture.sources.pupil_network import PupilNetwork
from hmd_capture.sources.recorded_eyes import RecordedEyes
from hmd_capture.sources.serial_line import SerialLine
from streaming.errors import UserError
from streaming.messages import EyeImage
from streaming.records import EyeParameters, Side

CABLE = "check its cable"
DEVICES: Mapping[str, tuple[Callable[[str], Device], str]] = {
    "uvc": (uvc_camera, CABLE),
    "mjpeg": (MjpegHttp, "check its power and network"),
    "serial": (SerialLine, CABLE),
    "gst": (gstreamer_camera, "check the pipeline and the camera's cable"),
    "file": (RecordedEyes, "check the file"),
}
PUPIL_HINT = "check that Pupil Capture runs and shows this eye"
SPLIT, SWAPPED = "split:", "split-swapped:"
KNOWN = (*DEVICES, "pupil", "split", "split-swapped", "osc")


class EyeInput(Protocol):
    """One opened source: a camera of one eye or both, or parameters without images."""

    name: str  # as the user wrote it
    hint: str  # what to check when it is lost
    sides: tuple[Side, ...]
    counts: Counter[str]  # what was rejected, by reason
    trouble: str  # why it is not read now; empty = unknown or nothing

    @property
    def was_heard(self) -> bool:
        """Whether anything usable has come."""
        ...

    @property
    def age_s(self) -> float:
        """Seconds since anything usable came, or since the start."""
        ...

    def take(self) -> Sequence[EyeImage | EyeParameters]:
        """Return the newest unseen of each eye, at once."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_inputs(wanted: Mapping[Side, EyeCameraSettings], woken: threading.Event) -> list[EyeInput]:
    """Open what the settings name; a device that both eyes name is opened once.

    `woken` is set whenever one of them has something to take. Raises `UserError` for what makes
    no sense; a camera that is not there is no error.
    """
    shared: dict[tuple[str, str], dict[Side, EyeCameraSettings]] = {}
    for side, settings in wanted.items():
        if settings.source:
            # One Capture sends both eyes, each under a topic of its own.
            own = side.value if settings.source.startswith("pupil:") else ""
            shared.setdefault((settings.source, own), {})[side] = settings
    opened: list[EyeInput] = []
    try:
        for (source, _), eyes in shared.items():
            opened.append(_open(source, eyes, woken))
    except BaseException:
        for one in opened:
            one.close()
        raise
    return opened


def _open(source: str, eyes: Mapping[Side, EyeCameraSettings], woken: threading.Event) -> EyeInput:
    kind, _, target = source.partition(":")
    if kind == "osc":
        return OscEyes(target, tuple(eyes), woken)
    is_split = source.startswith((SPLIT, SWAPPED))
    if len(eyes) > 1 and not is_split:
        raise UserError(
            f"Both eyes name the same camera {source!r}.",
            f"Write split:{source} if its image shows both eyes side by side.",
        )
    views = {side: _view(source, side, settings) for side, settings in eyes.items()}
    if kind == "pupil":
        (side,) = eyes
        return LiveCamera(source, PUPIL_HINT, PupilNetwork(target, side), views, woken)
    device, hint = _device(target if is_split else source)
    return LiveCamera(source, hint, device, views, woken)


def _device(source: str) -> tuple[Device, str]:
    kind, colon, target = source.partition(":")
    if kind not in DEVICES or not colon:
        raise UserError(
            f"{source!r} names no eye camera.",
            f"Begin it with one of {', '.join(f'{name}:' for name in KNOWN)}.",
        )
    make, hint = DEVICES[kind]
    return make(target), hint


def _view(source: str, side: Side, settings: EyeCameraSettings) -> EyeView:
    """Cameras look at the face: unless swapped, the left eye is in the image's left half."""
    half: Half = ""
    if source.startswith(SPLIT):
        half = "left" if side is Side.LEFT else "right"
    elif source.startswith(SWAPPED):
        half = "right" if side is Side.LEFT else "left"
    return make_view(settings, half)
