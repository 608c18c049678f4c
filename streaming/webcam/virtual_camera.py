"""A webcam that other programs can choose, fed with what a subscription brings.

A conference must never see a face that stands still as if it listened: the last picture is held for
a moment, then a grey card says for how long none came, and a pause is said at once.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

from streaming.closing import Closing
from streaming.errors import UserError
from streaming.heard_pause import HeardPause
from streaming.messages import FrameMessage, MessageError
from streaming.records import ImageU8
from streaming.slot import Latest
from streaming.subscriber import Arrival
from streaming.webcam.picture import card, fitted

LOGGER = logging.getLogger(__name__)
HOLD_S = 2.0  # a picture older than this is no longer shown
DRIVERS = Path("/sys/module/v4l2loopback")
DEVICES = Path("/sys/class/video4linux")
INSTALL = 'Install it with `pip install -e ".[webcam]"` in the checkout.'
LOAD = (
    "Make one with `sudo apt-get install v4l2loopback-dkms && "
    "sudo modprobe v4l2loopback exclusive_caps=1 card_label=unvisor`."
)
CHOOSE = "Close the program that feeds it, or choose one with `--camera-name /dev/videoN`."
OBS = "Install OBS Studio (obsproject.com) and start its virtual camera once."


class NoVirtualCamera(UserError):
    """There is no virtual camera on this machine that we could feed."""


class VirtualCamera(Closing):
    """Feeds one virtual camera at a steady rate from a thread of its own, until closed.

    Whatever the stream does, programs that use the camera get pictures of one size and rate.
    """

    def __init__(
        self,
        name: str | None = None,
        width: int = 1280,
        height: int = 720,
        fps: float = 30.0,
        mirror: bool = False,
    ) -> None:
        """Open the camera and feed it; raises `NoVirtualCamera` with the command that helps.

        `name` is a device (`/dev/video10`) or a label of one; None takes the first that is free.
        """
        self.width, self.height, self.fps = width, height, fps
        self._mirror = mirror
        self._camera = _open(name, width, height, fps)
        self.device = str(self._camera.device)
        self._slot: Latest[FrameMessage] = Latest()
        self._canvas: ImageU8 | None = None
        self._canvas_s = 0.0  # when its picture came
        self._pause = HeardPause()
        self._card: tuple[str, ImageU8] | None = None
        self._error: Exception | None = None
        self._has_warned = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="virtual-camera", daemon=True)
        self._thread.start()

    def take(self, arrival: Arrival) -> None:
        """Show this frame next, or note that the publisher paused or resumed. Returns at once."""
        message = arrival.message
        if isinstance(message, FrameMessage):
            self._slot.put(message)
        self._pause.hear(message)

    def check(self) -> None:
        """Raise `NoVirtualCamera` when the camera went away meanwhile."""
        if self._error is not None:
            raise NoVirtualCamera(
                f"The virtual camera {self.device} takes no more pictures: {self._error}.",
                "Start again once it is back.",
            ) from self._error

    def close(self) -> None:
        """Stop feeding and free the camera."""
        self._stopping.set()
        self._thread.join()
        self._camera.close()

    def _feed(self) -> None:
        try:
            while not self._stopping.is_set():
                self._camera.send(self._picture())
                self._camera.sleep_until_next_frame()
        except Exception as error:  # whatever a driver raises must reach the user
            LOGGER.exception("Feeding %s failed.", self.device)
            self._error = error

    def _picture(self) -> ImageU8:
        """What the camera shows now, (height,width,3) BGR."""
        self._take_newest()
        if self._pause.is_on:
            self._canvas = None  # the face of before the pause never comes back
            return self._words("Paused")
        if self._canvas is None:
            return self._words("Waiting for the picture")
        silent_s = time.monotonic() - self._canvas_s
        if silent_s < HOLD_S:
            return self._canvas
        return self._words(f"No picture for {silent_s:.0f} s")

    def _take_newest(self) -> None:
        message = self._slot.take(0)
        if message is None:
            return
        try:
            image = message.image()
        except MessageError as error:
            if not self._has_warned:  # a broken sender must not fill the log
                LOGGER.warning("A frame cannot be shown: %s", error)
            self._has_warned = True
            return
        self._canvas = fitted(image, self.width, self.height, self._mirror)
        self._canvas_s = time.monotonic()

    def _words(self, text: str) -> ImageU8:
        if self._card is None or self._card[0] != text:
            self._card = text, card(text, self.width, self.height)
        return self._card[1]


def _open(name: str | None, width: int, height: int, fps: float) -> Any:
    try:
        pyvirtualcam = importlib.import_module("pyvirtualcam")
    except ImportError as error:
        raise NoVirtualCamera(
            "A virtual camera needs the package pyvirtualcam, which is not installed.", INSTALL
        ) from error
    try:
        return pyvirtualcam.Camera(
            width=width,
            height=height,
            fps=fps,
            fmt=pyvirtualcam.PixelFormat.BGR,
            device=_device(name),
        )
    except (RuntimeError, ValueError, OSError) as error:
        wanted = f"the virtual camera {name!r}" if name else "any virtual camera"
        reason = " ".join(str(error).split()).rstrip(".")
        raise NoVirtualCamera(f"Cannot open {wanted} ({reason}).", _next_step()) from error


def _device(name: str | None) -> str | None:
    """The device of a label, as `modprobe v4l2loopback card_label=…` gives one; else the name."""
    for entry in sorted(DEVICES.glob("video*/name")):
        if name and entry.read_text(encoding="utf-8", errors="replace").strip() == name:
            return f"/dev/{entry.parent.name}"
    return name


def _next_step() -> str:
    if not sys.platform.startswith("linux"):
        return OBS
    return CHOOSE if DRIVERS.exists() else LOAD
