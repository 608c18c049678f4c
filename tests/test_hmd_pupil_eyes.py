"""Eye images of a Pupil Capture that the test plays itself, well-behaved and hostile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import msgpack
import numpy as np
import pytest
from eye_servers import (
    PupilCapture,
    eye_jpeg,
    eye_picture,
    repeating,
)
from opened_eyes import WAIT_S, Eyes, counted, images, opened_eyes, wait_for

from hmd_capture.live_eyes import LiveEyes
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


TOPIC = b"frame.eye.1"
BOMBS = [
    [TOPIC],
    [TOPIC, b"\xc1", b""],
    [TOPIC, b"\xdd\xff\xff\xff\xff", b""],  # an array of 4 billion
    [TOPIC, b"\x91" * 100_000, b""],  # nested too deeply
    [TOPIC, msgpack.packb({"topic": "frame.eye.1"}), b""],
    [TOPIC, b"\x80" * 200_000, b""],
    [b"frame.eye.1x", msgpack.packb({}), b""],
]


def until_counted(source: LiveEyes, reason: str, send: Callable[[], None]) -> None:
    """Send again and again: of what arrives together only the newest is looked at."""
    before, deadline_s = counted(source, reason), time.monotonic() + WAIT_S
    while counted(source, reason) == before:
        assert time.monotonic() < deadline_s, f"{reason} was not counted: {source.counts()}"
        send()
        time.sleep(0.02)


def test_hostile_pupil_messages_are_rejected_with_counters(
    capture: PupilCapture, eyes: Eyes
) -> None:
    source = eyes(left=f"pupil:{capture.endpoint}")
    grey = eye_picture()
    raw, wide = grey.tobytes(), np.zeros((240, 240), np.uint16).tobytes()

    def good() -> None:
        capture.send(1, "gray", grey.shape, raw)

    with repeating(good):
        images(source, 3)
    for parts in BOMBS:
        until_counted(source, "malformed", lambda parts=parts: capture.send_parts(parts))
    for reason, shape, image_format, pixels in (
        ("size", (240, 239), "gray", raw),
        ("size", (240, 240), "gray", wide),  # 16 bits
        ("size", (100, 100), "jpeg", eye_jpeg()),
        ("malformed", (10**9, 10**9), "gray", b""),
        ("malformed", (240, 240), "rgb", raw),
        ("truncated", (240, 240), "jpeg", eye_jpeg()[:-50]),
    ):
        until_counted(
            source,
            reason,
            lambda f=image_format, s=shape, p=pixels: capture.send(1, f, s, p),
        )
    for reason, ahead_s in (("malformed", np.nan), ("stale", -60.0), ("future", 60.0)):
        until_counted(
            source,
            reason,
            lambda a=ahead_s: capture.send(
                1, "gray", grey.shape, raw, timestamp=float(capture.now_s() + a)
            ),
        )
    with repeating(good):
        images(source, 3)
        back_s = capture.now_s() - 0.5
        until_counted(
            source,
            "backwards",
            lambda: capture.send(1, "gray", grey.shape, raw, timestamp=back_s),
        )
        images(source, 3)


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
