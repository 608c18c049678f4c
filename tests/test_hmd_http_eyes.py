"""Eye cameras over HTTP against a real server: healthy, broken and unplugged."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from eye_servers import (
    STREAM_HEAD,
    Board,
    chunk,
    eye_jpeg,
    part,
)
from opened_eyes import Eyes, counted, images, opened_eyes, wait_for

from hmd_capture.sources.live_camera import LONGEST_PAUSE_S
from hmd_capture.sources.mjpeg_http import CONNECT_S
from streaming.records import Side


@pytest.fixture
def eyes() -> Iterator[Eyes]:
    with opened_eyes() as opener:
        yield opener


@pytest.fixture
def board() -> Iterator[Board]:
    server = Board()
    yield server
    if server.is_on:
        server.stop()


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
        (first,) = images(source, 1, Side.RIGHT)
        assert first.capture_time_ns > stopped_ns
        wait_for(lambda: not source.troubles())
    finally:
        other.stop()


def test_no_wait_between_two_tries_lasts_a_second() -> None:
    """A camera that is back must be seen within a second, whatever was tried just before."""
    assert CONNECT_S + LONGEST_PAUSE_S < 1.0


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
    def script(connection, board):
        connection.sendall(STREAM_HEAD)
        started_s = time.monotonic()
        while board.is_on:
            for rubbish in (
                part(eye_jpeg(width=320)),
                part(eye_jpeg()[:-200]),
                part(eye_jpeg(), 0.5),  # a stamp from before
                part(b"\x89PNG" + b"x" * 500),
            ):
                good = part(eye_jpeg(), 4.0 + time.monotonic() - started_s)
                for body in (good, rubbish):
                    connection.sendall(chunk(body))
                    time.sleep(0.03)

    board = Board(script)
    try:
        source = eyes(left=f"mjpeg:{board.url}")
        reasons = ("size", "truncated", "backwards", "no jpeg")
        # Of what arrives together only the newest is looked at, so this may take some rounds.
        wait_for(lambda: all(counted(source, reason) for reason in reasons))
        assert {image.image.shape for image in images(source, 5)} == {(240, 240)}
        assert source.rejected >= len(reasons)
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


@pytest.mark.parametrize("host", ["192..168.1.20", "x" * 70])
def test_an_address_that_cannot_be_one_is_told(eyes: Eyes, host: str) -> None:
    source = eyes(left=f"mjpeg:http://{host}/")
    wait_for(lambda: f"({host} is no address)" in str(source.troubles()))


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
