"""Eye cameras on a serial line (a pseudo terminal) and on USB (which a fake has to play)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from eye_servers import (
    SerialBoard,
    eye_jpeg,
    eye_picture,
    repeating,
    serial_frame,
)
from opened_eyes import Eyes, counted, images, opened_eyes, wait_for

from hmd_capture.sources.eye_view import EyeView
from hmd_capture.sources.live_camera import LiveCamera
from hmd_capture.sources.opencv_camera import OpenCvCamera
from streaming.records import Side


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    with opened_eyes() as opener:
        yield opener


def test_a_board_is_read_over_a_serial_line(tmp_path: Path, eyes: Eyes) -> None:
    line = SerialBoard(str(tmp_path / "ttyACM0"))
    source = eyes(right=f"serial:{line.path}")
    with repeating(lambda: line.send(b"I (1) boot\r\n" + serial_frame(eye_jpeg()) + b"\xff\xa0")):
        found = images(source, 5)
    assert {image.image.shape for image in found} == {(240, 240)}
    assert counted(source, "garbage") > 0
    assert counted(source, "truncated") == 0
    line.pull_out()


def test_a_serial_line_cut_off_in_an_image_and_plugged_in_again_goes_on(
    tmp_path: Path, eyes: Eyes
) -> None:
    line = SerialBoard(str(tmp_path / "ttyACM0"))
    source = eyes(left=f"serial:{line.path}")
    with repeating(lambda: line.send(serial_frame(eye_jpeg()))):
        images(source, 3)
    line.send(serial_frame(eye_jpeg())[:3000])
    line.pull_out()
    pulled_ns = time.monotonic_ns()
    wait_for(lambda: "is not plugged in" in str(source.troubles()))
    assert "left eye camera serial:" in source.troubles()[0]
    line.plug_in()
    with repeating(lambda: line.send(serial_frame(eye_jpeg()))):
        found = images(source, 3)
    assert found[0].capture_time_ns > pulled_ns
    line.pull_out()


def test_a_truncated_image_on_a_serial_line_is_counted(tmp_path: Path, eyes: Eyes) -> None:
    line = SerialBoard(str(tmp_path / "ttyACM0"))
    source = eyes(left=f"serial:{line.path}")
    whole = serial_frame(eye_jpeg())
    with repeating(lambda: line.send(whole + whole[:-500] + whole)):
        images(source, 5)
        wait_for(lambda: counted(source, "truncated") >= 3)
    line.pull_out()


class FakeCapture:
    """A USB camera that can be unplugged: there is none to plug into a test."""

    def __init__(self, usb: FakeUsb) -> None:
        self.usb = usb

    def isOpened(self) -> bool:
        return self.usb.is_plugged

    def grab(self) -> bool:
        time.sleep(0.01)
        return self.usb.is_plugged

    def retrieve(self):
        return True, self.usb.image

    def release(self) -> None:
        self.usb.released += 1


class FakeUsb:
    def __init__(self) -> None:
        self.is_plugged = True
        self.image = np.dstack([eye_picture()] * 3)
        self.released = 0

    def open(self) -> FakeCapture:
        return FakeCapture(self)


def test_a_usb_camera_is_opened_again_and_its_wild_images_are_counted() -> None:
    usb = FakeUsb()
    camera = LiveCamera(
        "uvc:0",
        "check its cable",
        OpenCvCamera(usb.open),
        {Side.LEFT: EyeView()},
        threading.Event(),
    )
    try:
        wait_for(camera.take)
        usb.image = np.zeros((240, 240), np.uint16)
        wait_for(lambda: camera.counts["depth"] >= 1)
        usb.is_plugged = False
        wait_for(lambda: camera.age_s > 0.6)
        assert camera.trouble == "it cannot be opened"
        camera.take()  # what came before the cable was pulled
        usb.is_plugged, usb.image = True, np.dstack([eye_picture()] * 3)
        wait_for(camera.take)
        assert camera.trouble == ""
        assert usb.released >= 2
    finally:
        camera.close()


def test_a_usb_camera_that_is_not_there_is_told(eyes: Eyes) -> None:
    source = eyes(left="uvc:/dev/no-such-video")
    wait_for(source.troubles)
    assert "left eye camera uvc:/dev/no-such-video has given nothing" in source.troubles()[0]
    assert "check its cable" in source.troubles()[0]


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_what_is_wrong_with_all_its_images_is_told(
    pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a quick camera 30 in a row are needed, of a slow one the time decides."""
    monkeypatch.setattr("hmd_capture.sources.live_camera.SILENT_S", 1.0)
    usb = FakeUsb()
    device = OpenCvCamera(usb.open)
    read = device.read
    device.read = lambda timeout_s: time.sleep(pause_s) or read(timeout_s)  # type: ignore[method-assign, func-returns-value]
    views = {Side.LEFT: EyeView(region=(0, 0, 200, 300))}
    camera = LiveCamera("uvc:0", "check its cable", device, views, threading.Event())
    try:
        wait_for(lambda: camera.trouble)
        assert "the region (0, 0, 200, 300) is not inside 240×240" in camera.trouble
    finally:
        camera.close()


def test_a_failing_driver_does_not_end_the_eye(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody thought of must cost a reconnection, not the thread."""
    usb = FakeUsb()
    usb.image = None  # type: ignore[assignment]
    failing = OpenCvCamera(usb.open)
    failing.read = lambda timeout_s: 1 // 0  # type: ignore[method-assign]
    camera = LiveCamera("uvc:0", "", failing, {Side.LEFT: EyeView()}, threading.Event())
    try:
        wait_for(lambda: camera.counts["lost"] >= 3)
        assert camera.trouble == "it failed unexpectedly"
    finally:
        camera.close()
    assert caplog.text.count("Traceback") == 1  # in hours of failing, too


def test_a_driver_that_fails_to_let_go_does_not_end_the_eye_either() -> None:
    usb = FakeUsb()
    failing = OpenCvCamera(usb.open)
    failing.close = lambda: 1 // 0  # type: ignore[method-assign]
    usb.is_plugged = False
    camera = LiveCamera("uvc:0", "", failing, {Side.LEFT: EyeView()}, threading.Event())
    try:
        wait_for(lambda: camera.counts["lost"] >= 2)
        usb.is_plugged = True
        wait_for(camera.take)
    finally:
        camera.close()
