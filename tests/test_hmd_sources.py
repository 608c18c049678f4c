"""Every kind of eye camera against a real server of its kind, healthy, broken and unplugged."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import msgpack
import numpy as np
import pytest
from eye_servers import (
    STREAM_HEAD,
    Board,
    PupilCapture,
    SerialBoard,
    chunk,
    eye_jpeg,
    eye_picture,
    part,
    repeating,
    serial_frame,
)

from hmd_capture.live_eyes import LiveEyes
from hmd_capture.sources.eye_view import EyeCameraSettings, EyeView
from hmd_capture.sources.live_camera import LiveCamera
from hmd_capture.sources.opencv_camera import OpenCvCamera, has_gstreamer
from streaming.errors import UserError
from streaming.messages import EyeImage
from streaming.records import Side

WAIT_S = 10.0
MS = 1_000_000


class Eyes:
    """Opened sources that are closed when the test ends."""

    def __init__(self) -> None:
        self.opened: list[LiveEyes] = []

    def __call__(self, right: str = "", left: str = "", **options: object) -> LiveEyes:
        wanted = {
            Side.RIGHT: EyeCameraSettings(right, **options),  # type: ignore[arg-type]
            Side.LEFT: EyeCameraSettings(left, **options),  # type: ignore[arg-type]
        }
        self.opened.append(LiveEyes(wanted))
        return self.opened[-1]


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    opener = Eyes()
    yield opener
    for opened in opener.opened:
        opened.close()


@pytest.fixture
def board() -> Iterator[Board]:
    server = Board()
    yield server
    if server.is_on:
        server.stop()


@pytest.fixture
def capture() -> Iterator[PupilCapture]:
    server = PupilCapture(clock_ahead_s=1000.0)
    yield server
    server.close()


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def images(source: LiveEyes, count: int, side: Side | None = None) -> list[EyeImage]:
    """The next so many images, of one side if it is given."""
    found: list[EyeImage] = []
    deadline_s = time.monotonic() + WAIT_S
    while len(found) < count:
        assert time.monotonic() < deadline_s, f"only {len(found)}: {source.troubles()}"
        for image in source.take(0.1):
            assert isinstance(image, EyeImage)
            age_ns = time.monotonic_ns() - image.capture_time_ns
            assert -5 * MS <= age_ns < 2_000 * MS, f"a stale or future time: {age_ns / 1e6} ms"
            if side in (None, image.side):
                found.append(image)
    return found


def counted(source: LiveEyes, reason: str) -> int:
    return sum(counts.get(reason, 0) for counts in source.counts().values())


def test_a_board_is_read_over_http(board: Board, eyes: Eyes) -> None:
    found = images(eyes(right=f"mjpeg:{board.url}stream?q=7"), 5)
    assert all(image.side is Side.RIGHT and image.image.shape == (240, 240) for image in found)
    assert all(image.truth is None for image in found)
    times = [image.capture_time_ns for image in found]
    assert times == sorted(set(times))
    assert [i.frame_id for i in found] == sorted({i.frame_id for i in found})
    assert board.requests[0].startswith(b"GET /stream?q=7 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert len(board.requests) == 1  # the board serves a single viewer


def test_one_board_unplugged_leaves_the_other_eye_and_comes_back(board: Board, eyes: Eyes) -> None:
    other = Board()
    try:
        source = eyes(right=f"mjpeg:{board.url}", left=f"mjpeg:{other.url}")
        images(source, 3, Side.RIGHT)
        board.stop()
        stopped_ns = time.monotonic_ns()
        images(source, 60, Side.LEFT)  # more than a second of the other eye
        wait_for(source.troubles)
        (trouble,) = source.troubles()
        started = f"right eye camera mjpeg:{board.url} is silent since "
        assert re.match(re.escape(started) + r"\d+ s \(", trouble)
        assert "connection refused" in trouble
        assert trouble.endswith("check its power and network; trying again")
        board.start()
        back_s = time.monotonic()
        (first,) = images(source, 1, Side.RIGHT)
        assert first.capture_time_ns > stopped_ns
        assert time.monotonic() - back_s < 3.0  # 1 s at most where the machine is not loaded
        wait_for(lambda: not source.troubles())
    finally:
        other.stop()


def test_a_board_that_hangs_up_in_the_middle_of_an_image_costs_that_image(eyes: Eyes) -> None:
    whole = part(eye_jpeg())

    def script(connection, board):
        connection.sendall(STREAM_HEAD + chunk(whole) + chunk(whole[: len(whole) // 2]))
        time.sleep(0.05)

    board = Board(script)
    try:
        source = eyes(left=f"mjpeg:{board.url}")
        found = images(source, 4)
        assert len(board.requests) >= 4
        assert all(image.image.shape == (240, 240) for image in found)
    finally:
        board.stop()


def test_a_board_that_sends_rubbish_between_images_is_read_on(eyes: Eyes) -> None:
    good, wide = part(eye_jpeg(), 1.0), part(eye_jpeg(width=320), 2.0)
    truncated = part(eye_jpeg()[:-200], 3.0)
    backwards = part(eye_jpeg(), 0.5)
    not_jpeg = part(b"\x89PNG" + b"x" * 500)

    def script(connection, board):
        connection.sendall(STREAM_HEAD)
        for body in (good, wide, truncated, backwards, not_jpeg):
            connection.sendall(chunk(body))
            time.sleep(0.05)
        while board.is_on:
            connection.sendall(chunk(part(eye_jpeg(), 4.0 + time.monotonic())))
            time.sleep(0.02)

    board = Board(script)
    try:
        source = eyes(left=f"mjpeg:{board.url}")
        assert {image.image.shape for image in images(source, 5)} == {(240, 240)}
        for reason in ("size", "truncated", "backwards", "no jpeg"):
            assert counted(source, reason) == 1, reason
        assert source.rejected == 4
        assert len(board.requests) == 1
    finally:
        board.stop()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answers 404 Not Found"),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://10.0.0.1/\r\n\r\n", "it redirects to"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", "no MJPEG stream"),
    ],
)
def test_wrong_answers_are_told_and_asked_again(eyes: Eyes, answer: bytes, why: str) -> None:
    board = Board(lambda connection, _: connection.sendall(answer))
    try:
        source = eyes(left=f"mjpeg:{board.url}")
        wait_for(lambda: len(board.requests) >= 2 and source.troubles())
        assert "left eye camera" in source.troubles()[0]
        assert "has given nothing for" in source.troubles()[0]
        assert why in source.troubles()[0]
    finally:
        board.stop()


def test_a_server_that_drips_is_given_up_and_asked_again(eyes: Eyes) -> None:
    """A byte now and then keeps every single read alive; the image as a whole must not wait."""

    def script(connection, board):
        for byte in STREAM_HEAD + chunk(part(eye_jpeg())):
            if not board.is_on:
                return
            connection.sendall(bytes([byte]))
            time.sleep(0.03)

    board = Board(script)
    try:
        source = eyes(left=f"mjpeg:{board.url}")
        wait_for(lambda: "no whole image comes" in str(source.troubles()))
    finally:
        board.stop()


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


def test_a_failing_driver_does_not_end_the_eye() -> None:
    """An exception that nobody thought of must cost a reconnection, not the thread."""
    usb = FakeUsb()
    usb.image = None  # type: ignore[assignment]
    failing = OpenCvCamera(usb.open)
    failing.read = lambda timeout_s: 1 // 0  # type: ignore[method-assign]
    camera = LiveCamera("uvc:0", "", failing, {Side.LEFT: EyeView()}, threading.Event())
    try:
        wait_for(lambda: camera.counts["lost"] >= 2)
        assert camera.trouble == "it failed unexpectedly"
    finally:
        camera.close()


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
