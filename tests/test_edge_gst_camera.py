"""A camera behind a GStreamer pipeline, with GStreamer's own test pictures."""

from __future__ import annotations

import itertools
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from edge.camera import open_source
from edge.gst_camera import GstPipe
from edge.settings import CameraSettings
from edge.webcam import Webcam
from streaming.errors import UserError

RED = "videotestsrc pattern=red is-live=true ! video/x-raw,width=640,height=360,framerate=30/1"
has_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="needs gstreamer1.0-tools"
)


@has_gstreamer
@pytest.mark.parametrize("prefix", ["gst:", "webcam:gst:"])
def test_a_pipeline_is_a_live_camera(prefix: str) -> None:
    camera = open_source(CameraSettings(source=prefix + RED, max_width_px=320))
    assert isinstance(camera, Webcam)
    images = list(itertools.islice(camera.frames(), 3))
    camera.close()
    assert [index for index, _ in images] == [0, 1, 2]
    for _, image in images:
        assert image.shape == (180, 320, 3)
        assert np.abs(image.astype(int) - (0, 0, 255)).max() < 8


@has_gstreamer
def test_a_pipeline_that_ends_says_so() -> None:
    pipe = GstPipe(RED.replace("is-live=true", "num-buffers=3"))
    assert pipe.isOpened()
    read = list(itertools.takewhile(bool, (pipe.read()[0] for _ in range(10))))
    assert 1 <= len(read) <= 3  # not taken in time is dropped
    pipe.release()


@has_gstreamer
def test_a_pipeline_without_images_cannot_be_opened() -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        open_source(CameraSettings(source="gst:nosuchelement ! fakesink"))


def test_without_gstreamer_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"gstreamer1\.0-tools"):
        open_source(CameraSettings(source=f"gst:{RED}"))


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that says something else than GStreamer would."""
    program = folder / "gst-launch-1.0"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "printf 'no such stream\\n'",
        "head -c 5000 /dev/zero",
        "printf 'YUV4MPEG2 W3 H3\\n'",
        "printf 'YUV4MPEG2 Wx H4\\n'",
    ],
)
def test_bytes_that_are_no_video_are_no_camera(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, script, monkeypatch)
    pipe = GstPipe("camera")
    assert not pipe.isOpened()
    assert not pipe.read()[0]
    pipe.release()


def test_an_image_that_is_cut_off_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, r"printf 'YUV4MPEG2 W4 H4 F30:1\nFRAME\n1234567'", monkeypatch)
    pipe = GstPipe("camera")
    assert pipe.isOpened()
    assert not pipe.read()[0]
    pipe.release()


def test_a_pipeline_that_is_no_command_line_is_refused() -> None:
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("needs gstreamer1.0-tools")
    with pytest.raises(UserError, match="No closing quotation"):
        open_source(CameraSettings(source='gst:v4l2src device="/dev/video0'))
