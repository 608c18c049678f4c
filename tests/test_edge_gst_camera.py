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
@pytest.mark.parametrize("width", [634, 852])  # no multiples of 8: GStreamer fills up their rows
def test_pictures_of_any_even_width_are_read_whole(width: int) -> None:
    camera = open_source(CameraSettings(source="gst:" + RED.replace("640", str(width))))
    assert isinstance(camera, Webcam)
    images = [image for _, image in itertools.islice(camera.frames(), 3)]
    assert not camera.is_lost
    camera.close()
    for image in images:
        assert image.shape == (360, width, 3)
        assert np.abs(image.astype(int) - (0, 0, 255)).max() < 8


@has_gstreamer
@pytest.mark.parametrize("told", ["", ",colorimetry=bt709"])  # HD counts as BT.709 unsaid
def test_hd_colours_are_right(told: str) -> None:
    source = "videotestsrc pattern=red num-buffers=1"
    pipe = GstPipe(f"{source} ! video/x-raw,format=I420,width=1280,height=720{told}")
    was_read, image = pipe.read()
    pipe.release()
    assert was_read
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


@pytest.mark.parametrize("row_of_colours", [3, 4])  # newer and older versions of GStreamer
@pytest.mark.parametrize("count", [1, 3])
def test_rows_are_read_filled_up_or_not(
    row_of_colours: int, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 px high; grey but for the last column, whose colours are those of red."""
    light = np.full((4, 6 if row_of_colours == 3 else 8), 81, np.uint8)
    blueness, redness = (np.full((2, row_of_colours), 128, np.uint8) for _ in range(2))
    blueness[:, 2], redness[:, 2] = 90, 240
    picture = b"FRAME\n" + b"".join(p.tobytes() for p in (light, blueness, redness))
    (tmp_path / "stream").write_bytes(b"YUV4MPEG2 W6 H4 F30:1\n" + count * picture)
    stand_in(tmp_path, f"cat {tmp_path}/stream", monkeypatch)
    pipe = GstPipe("camera")
    read = list(itertools.takewhile(lambda pair: pair[0], (pipe.read() for _ in range(9))))
    pipe.release()
    assert len(read) == count
    for _, image in read:
        assert image.shape == (4, 6, 3)
        assert np.ptp(image[:, :4]) == 0
        assert np.abs(image[:, 4:].astype(int) - (0, 0, 255)).max() < 8


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
