"""Eye images of a Pupil Capture that the test plays itself, well-behaved and hostile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgpack
import numpy as np
import pytest
from eye_servers import (
    PupilCapture,
    eye_jpeg,
    eye_picture,
    repeating,
)
from opened_eyes import Eyes, counted, images, opened_eyes, wait_for

from streaming.records import Side


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    with opened_eyes() as opener:
        yield opener


@pytest.fixture
def capture() -> Iterator[PupilCapture]:
    server = PupilCapture(clock_ahead_s=1000.0)
    yield server
    server.close()


def test_pupil_captures_frames_arrive_on_our_clock(capture: PupilCapture, eyes: Eyes) -> None:
    source = eyes(right=f"pupil:{capture.endpoint}", left=f"pupil:{capture.endpoint}")
    grey = eye_picture(width=200, height=192)
    bgr = np.dstack([grey] * 3)
    raws = {
        "jpeg": eye_jpeg(width=200, height=192),
        "gray": grey.tobytes(),
        "bgr": bgr.tobytes(),
        "yuv": grey.tobytes() + bytes(grey.size),
    }

    def send() -> None:
        for image_format, raw in raws.items():
            for eye in (0, 1):
                capture.send(eye, image_format, grey.shape, raw)
            time.sleep(0.01)

    with repeating(send):
        right, left = images(source, 20, Side.RIGHT), images(source, 20, Side.LEFT)
    for image in (*right, *left):
        np.testing.assert_allclose(image.image.astype(int), grey, atol=12)
    assert [b"SUB_PORT"] in capture.questions
    assert any(parts[0] == b"notify.frame_publishing.set_format" for parts in capture.questions)


def test_hostile_pupil_messages_are_rejected_with_counters(
    capture: PupilCapture, eyes: Eyes
) -> None:
    source = eyes(left=f"pupil:{capture.endpoint}")
    grey = eye_picture()
    topic = b"frame.eye.1"
    bombs = [
        [topic],
        [topic, b"\xc1", b""],
        [topic, b"\xdd\xff\xff\xff\xff", b""],  # an array of 4 billion
        [topic, b"\x91" * 100_000, b""],  # nested too deeply
        [topic, msgpack.packb({"topic": "frame.eye.1"}), b""],
        [topic, b"\x80" * 200_000, b""],
        [b"frame.eye.1x", msgpack.packb({}), b""],
    ]
    with repeating(lambda: capture.send(1, "gray", grey.shape, grey.tobytes())):
        images(source, 3)
        for parts in bombs:
            capture.send_parts(parts)
            time.sleep(0.03)
        before = counted(source, "size")
        capture.send(1, "gray", (240, 239), grey.tobytes())
        capture.send(1, "gray", (240, 240), np.zeros((240, 240), np.uint16).tobytes())
        time.sleep(0.03)
        capture.send(1, "jpeg", (100, 100), eye_jpeg())
        time.sleep(0.03)
        capture.send(1, "gray", (10**9, 10**9), b"")
        time.sleep(0.03)
        capture.send(1, "gray", grey.shape, grey.tobytes(), timestamp=float("nan"))
        time.sleep(0.03)
        capture.send(1, "gray", grey.shape, grey.tobytes(), timestamp=capture.now_s() - 60)
        time.sleep(0.03)
        capture.send(1, "gray", grey.shape, grey.tobytes(), timestamp=capture.now_s() + 60)
        time.sleep(0.03)
        capture.send(1, "gray", grey.shape, grey.tobytes(), timestamp=capture.now_s() - 1)
        images(source, 20)
    assert counted(source, "malformed") >= 5  # only the newest of a batch is looked at
    assert counted(source, "size") > before
    assert counted(source, "stale") == 1
    assert counted(source, "future") == 1
    assert counted(source, "backwards") == 1


def test_a_pupil_capture_that_is_not_there_is_waited_for(eyes: Eyes) -> None:
    gone = PupilCapture()
    gone.close()
    source = eyes(left=f"pupil:{gone.endpoint}")
    wait_for(lambda: "Pupil Remote does not answer" in str(source.troubles()))
    assert "check that Pupil Capture runs" in source.troubles()[0]


def test_a_pupil_capture_with_a_wild_port_is_told(eyes: Eyes) -> None:
    wild = PupilCapture(sub_port="99999999999999")
    source = eyes(left=f"pupil:{wild.endpoint}")
    wait_for(lambda: "which is none" in str(source.troubles()))
    wild.close()
