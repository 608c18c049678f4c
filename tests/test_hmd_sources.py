"""Files, split images, pipelines, and what users write for an eye camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from eye_servers import (
    eye_jpeg,
    eye_picture,
)
from opened_eyes import Eyes, counted, images, opened_eyes

from hmd_capture.sources.opencv_camera import has_gstreamer
from streaming.errors import UserError
from streaming.records import Side


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    with opened_eyes() as opener:
        yield opener


def test_a_video_file_is_played_over_and_over(tmp_path: Path, eyes: Eyes) -> None:
    path = tmp_path / "eyes.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50.0, (240, 160))
    for index in range(5):
        writer.write(np.dstack([eye_picture(60 + 10 * index, 240, 160)] * 3))
    writer.release()
    found = images(eyes(right=f"file:{path}"), 12)
    assert all(image.image.shape == (160, 240) for image in found)


def test_a_folder_is_played_and_its_broken_files_are_skipped(tmp_path: Path, eyes: Eyes) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), eye_picture())
    cv2.imwrite(str(tmp_path / "1.png"), eye_picture().astype(np.uint16) * 256)
    (tmp_path / "2.jpg").write_bytes(eye_jpeg()[:-100])
    (tmp_path / "3.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "4.png"), np.dstack([eye_picture()] * 3))
    cv2.imwrite(str(tmp_path / "5.png"), np.dstack([eye_picture()] * 4))
    source = eyes(right=f"file:{tmp_path}")
    for image in images(source, 5):
        np.testing.assert_allclose(image.image.astype(int), eye_picture(), atol=2)
    for reason in ("depth", "truncated", "no image", "channels"):
        assert counted(source, reason) >= 1, reason


def test_one_image_with_both_eyes_is_split(tmp_path: Path, eyes: Eyes) -> None:
    both = np.hstack([np.full((120, 160), 20, np.uint8), np.full((120, 160), 200, np.uint8)])
    cv2.imwrite(str(tmp_path / "0.png"), both)
    name = f"split:file:{tmp_path}"
    source = eyes(right=name, left=name)
    assert images(source, 1, Side.LEFT)[0].image.mean() == 20
    assert images(source, 1, Side.RIGHT)[0].image.mean() == 200
    assert len(source.counts()) == 1  # opened once
    swapped = f"split-swapped:file:{tmp_path}"
    assert images(eyes(right=swapped, left=swapped), 1, Side.LEFT)[0].image.mean() == 200


def test_both_eyes_of_an_image_belong_to_the_same_instant(tmp_path: Path, eyes: Eyes) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), eye_picture(width=320))
    name = f"split:file:{tmp_path}"
    source = eyes(right=name, left=name)
    taken = next(filter(None, (source.take(0.1) for _ in range(50))))
    assert len(taken) == 2
    assert taken[0].capture_time_ns == taken[1].capture_time_ns


@pytest.mark.skipif(has_gstreamer(), reason="this OpenCV has GStreamer")
def test_without_gstreamer_a_pipeline_is_one_clear_sentence(eyes: Eyes) -> None:
    with pytest.raises(UserError, match="OpenCV with GStreamer"):
        eyes(left="gst:nvarguscamerasrc ! appsink")


@pytest.mark.skipif(not has_gstreamer(), reason="this OpenCV was built without GStreamer")
def test_a_gstreamer_pipeline_is_read(eyes: Eyes) -> None:
    pipeline = "videotestsrc is-live=true ! video/x-raw,width=240,height=240"
    assert images(eyes(left=f"gst:{pipeline}"), 3)[0].image.shape == (240, 240)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("webcam:0", "names no eye camera"),
        ("uvc", "names no eye camera"),
        ("uvc:", "names no camera"),
        ("split:osc:9000", "names no eye camera"),
        ("mjpeg:https://10.0.0.1/", "no address"),
        ("mjpeg:http://", "no address"),
        ("mjpeg:http://host:99999/", "no address"),
        ("mjpeg:http://host/\r\nX: y", "no address"),
        ("serial:", "no serial port"),
        ("serial:/dev/ttyACM0@fast", "no serial port"),
        ("pupil:nowhere", "not an address"),
        ("file:/no/such/file", "There is no"),
        ("osc:0.0.0.0:9000", "no port for OSC"),
        ("osc:99999", "no port for OSC"),
    ],
)
def test_a_source_that_makes_no_sense_is_one_clear_sentence(
    eyes: Eyes, source: str, why: str
) -> None:
    with pytest.raises(UserError, match=why) as caught:
        eyes(left=source)
    assert caught.value.next_step


def test_one_camera_for_both_eyes_must_be_split(eyes: Eyes) -> None:
    with pytest.raises(UserError, match="split:uvc:0"):
        eyes(right="uvc:0", left="uvc:0")
