"""What eye cameras send, in whatever pieces and however broken: no sockets needed."""

from __future__ import annotations

import contextlib
import struct
from collections import Counter

import cv2
import numpy as np
import pytest
from eye_servers import BOUNDARY, STREAM_HEAD, chunk, eye_jpeg, eye_picture, part, serial_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from hmd_capture.sources.device import BadPicture, DeviceLost
from hmd_capture.sources.eye_view import EyeCameraSettings, EyeView, make_view
from hmd_capture.sources.multipart import HttpStream, PartScanner
from hmd_capture.sources.one_way_clock import OneWayClock
from hmd_capture.sources.pictures import decode_jpeg, grey
from hmd_capture.sources.serial_scanner import SerialScanner
from streaming.errors import UserError

JPEG = eye_jpeg(width=64, height=48)
OTHER = eye_jpeg(140, width=64, height=48)
MS = 1_000_000


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


PIECES = st.lists(st.integers(1, 700), max_size=30)


@given(PIECES)
def test_serial_images_are_found_in_any_pieces(sizes: list[int]) -> None:
    counts: Counter[str] = Counter()
    scanner = SerialScanner(counts)
    line = b"\x00boot message\xff" + serial_frame(JPEG) + b"\xff\xa0??" + serial_frame(OTHER)
    found = [jpeg for piece in in_pieces(line, sizes) for _, jpeg in scanner.feed(piece, 1)]
    assert found == [JPEG, OTHER]
    assert counts["garbage"] == len(b"\x00boot message\xff") + len(b"\xff\xa0??")


@given(PIECES, st.integers(1, len(JPEG) - 1), st.integers(1, 200))
def test_serial_images_with_lost_bytes_cost_no_other_image(
    sizes: list[int], at: int, lost: int
) -> None:
    counts: Counter[str] = Counter()
    scanner = SerialScanner(counts)
    frame = serial_frame(JPEG)
    cut = frame[: 6 + at] + frame[6 + at + lost :]
    line = serial_frame(OTHER) + cut + serial_frame(OTHER) + serial_frame(OTHER)
    found = [jpeg for piece in in_pieces(line, sizes) for _, jpeg in scanner.feed(piece, 1)]
    assert found == [OTHER, OTHER, OTHER]
    assert counts["truncated"] >= 1


@given(st.binary(max_size=2000), PIECES)
@settings(max_examples=30)
def test_serial_garbage_is_survived_and_bounded(garbage: bytes, sizes: list[int]) -> None:
    scanner = SerialScanner(Counter())
    for piece in in_pieces(garbage, sizes):
        scanner.feed(piece, 1)
    # Whatever came before, real images are found again once a false one's length has passed.
    found = scanner.feed(serial_frame(OTHER) * 150, 2)
    assert found[-1] == (2, OTHER)
    assert len(scanner._buffer) < 66_000


def test_a_header_with_a_huge_length_does_not_hide_the_images_behind_it() -> None:
    counts: Counter[str] = Counter()
    scanner = SerialScanner(counts)
    wild = b"\xff\xa0\xff\xa1" + struct.pack("<H", 65535) + b"\xff\xd8" + b"x" * 50
    assert scanner.feed(wild, 1) == []
    assert scanner.feed(serial_frame(JPEG), 2) == [(2, JPEG)]
    assert counts["truncated"] == 1


def test_a_serial_image_is_as_old_as_its_first_byte() -> None:
    scanner = SerialScanner(Counter())
    frame = serial_frame(JPEG)
    assert scanner.feed(frame[:100], 1000) == []
    assert scanner.feed(frame[100:] + frame[:10], 2000) == [(1000, JPEG)]
    assert scanner.feed(frame[10:], 3000) == [(2000, JPEG)]


@given(PIECES, st.booleans())
def test_http_images_are_found_in_any_pieces(sizes: list[int], is_chunked: bool) -> None:
    counts: Counter[str] = Counter()
    stream = HttpStream(counts)
    bodies = [part(JPEG, 12.25), part(OTHER)]
    head = STREAM_HEAD
    if not is_chunked:
        head = head.replace(b"Transfer-Encoding: chunked\r\n", b"")
    answer = head + b"".join(chunk(body) if is_chunked else body for body in bodies)
    found = [p for piece in in_pieces(answer, sizes) for p in stream.feed(piece, 7)]
    assert [p.jpeg for p in found] == [JPEG, OTHER]
    assert [p.device_ns for p in found] == [12_250_000_000, None]
    assert all(p.arrival_ns == 7 for p in found)
    assert not any(counts.values())


def test_an_image_without_a_length_ends_at_the_next_boundary() -> None:
    scanner = PartScanner(b"--frame", Counter())
    one = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n"
    assert scanner.feed(one, 1) == []
    assert [p.jpeg for p in scanner.feed(one, 2)] == [JPEG]


@pytest.mark.parametrize("length", [10, len(JPEG) + 400])
def test_a_wrong_length_costs_an_image_and_no_more_than_the_next(length: int) -> None:
    scanner = PartScanner(BOUNDARY, Counter())
    parts = scanner.feed(part(JPEG, length=length) + part(OTHER) * 3, 1)
    assert [p.jpeg for p in parts][-2:] == [OTHER, OTHER]
    with pytest.raises(BadPicture):
        decode_jpeg(parts[0].jpeg)


@pytest.mark.parametrize("length", [0, 2_000_000, 10**30, "000000009" + "9" * 5000])
def test_a_length_that_no_image_has_is_counted_and_skipped(length: int | str) -> None:
    counts: Counter[str] = Counter()
    parts = PartScanner(BOUNDARY, counts).feed(part(JPEG, length=length) + part(OTHER), 1)
    assert [p.jpeg for p in parts] == [OTHER]
    assert counts["header"] == 1


def test_an_endless_image_does_not_fill_the_memory() -> None:
    counts: Counter[str] = Counter()
    scanner = PartScanner(BOUNDARY, counts)
    scanner.feed(b"--" + BOUNDARY + b"\r\nContent-Type: image/jpeg\r\n\r\n", 1)
    for _ in range(40):
        scanner.feed(b"x" * 65_536, 1)
    assert counts["too large"] == 1
    assert len(scanner._buffer) < 2_000_000
    assert [p.jpeg for p in scanner.feed(part(OTHER), 1)] == [OTHER]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "redirects to 'http://else"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "no MJPEG stream"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP"),
        (b"x" * 9000, "no HTTP"),
        (STREAM_HEAD + b"zz\r\n", "no HTTP"),
        (STREAM_HEAD + b"0\r\n\r\n", "ended the stream"),
    ],
)
def test_answers_that_are_no_stream_are_told_in_words(answer: bytes, why: str) -> None:
    with pytest.raises(DeviceLost, match=why):
        HttpStream(Counter()).feed(answer, 1)


@given(st.binary(max_size=3000), PIECES, st.booleans())
@settings(max_examples=60)
def test_no_answer_breaks_the_reader(body: bytes, sizes: list[int], with_head: bool) -> None:
    stream = HttpStream(Counter())
    try:
        for piece in in_pieces((STREAM_HEAD if with_head else b"") + body, sizes):
            stream.feed(piece, 1)
    except DeviceLost:
        pass


@given(st.integers(0, len(JPEG) - 1))
def test_a_jpeg_cut_off_anywhere_is_rejected(length: int) -> None:
    with pytest.raises(BadPicture):
        decode_jpeg(JPEG[:length])


@given(st.data())
def test_no_damage_to_a_jpeg_breaks_the_decoder(data: st.DataObject) -> None:
    broken = bytearray(JPEG)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(JPEG) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadPicture):
        assert decode_jpeg(bytes(broken)).dtype == np.uint8


def test_two_half_jpegs_are_not_one() -> None:
    with pytest.raises(BadPicture, match="ends after"):
        decode_jpeg(JPEG[: len(JPEG) // 2] + OTHER)


def test_padding_behind_a_jpeg_is_no_damage() -> None:
    assert decode_jpeg(JPEG + b"\x00" * 32).shape == (48, 64)


def test_a_jpeg_of_very_many_scans_is_rejected_before_it_is_decoded() -> None:
    """One of 2048×2048 px in 1 MiB keeps a core busy for 4 minutes."""
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    whole = cv2.imencode(".jpg", np.full((64, 64), 128, np.uint8), options)[1].tobytes()
    assert decode_jpeg(whole).shape == (64, 64)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(BadPicture) as caught:
        decode_jpeg(whole[:-2] + 40 * last_scan + whole[-2:])
    assert caught.value.reason == "scans"


@pytest.mark.parametrize(("width", "height"), [(65_500, 65_500), (16, 240), (240, 5000), (0, 0)])
def test_a_jpeg_of_a_wild_size_is_rejected_before_it_is_decoded(width: int, height: int) -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    bomb = JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]
    with pytest.raises(BadPicture) as caught:
        decode_jpeg(bomb)
    assert caught.value.reason == "size"


def test_a_colour_jpeg_is_read_as_grey() -> None:
    colour = cv2.imencode(".jpg", np.dstack([eye_picture()] * 3))[1].tobytes()
    np.testing.assert_allclose(decode_jpeg(colour).astype(int), eye_picture(), atol=12)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((240, 240), np.uint16), "depth"),
        (np.zeros((240, 240), np.float32), "depth"),
        (np.zeros((240, 240, 4), np.uint8), "channels"),
        (np.zeros((240, 240, 2), np.uint8), "channels"),
        (np.zeros(240, np.uint8), "channels"),
        (np.zeros((8, 240), np.uint8), "size"),
        (np.zeros((0, 0), np.uint8), "size"),
        (np.zeros((4000, 4000), np.uint8), "size"),
    ],
)
def test_images_that_no_eye_camera_gives_are_rejected(image: np.ndarray, reason: str) -> None:
    with pytest.raises(BadPicture) as caught:
        grey(image)
    assert caught.value.reason == reason


def test_three_channels_become_one() -> None:
    assert grey(np.full((240, 200, 3), 80, np.uint8)).shape == (240, 200)
    assert grey(np.full((240, 200, 1), 80, np.uint8)).shape == (240, 200)


def test_region_then_rotation_then_flip() -> None:
    image = np.arange(80 * 100, dtype=np.uint32).astype(np.uint8).reshape(80, 100)
    view = make_view(EyeCameraSettings("x", 90.0, "horizontal", "10, 20, 40, 50"))
    expected = cv2.flip(cv2.rotate(image[20:70, 10:50], cv2.ROTATE_90_CLOCKWISE), 1)
    np.testing.assert_array_equal(view.apply(image), expected)


def test_quarter_turns_keep_every_pixel_and_others_the_size() -> None:
    image = eye_picture(width=120, height=80)
    assert EyeView(rotation_deg=-90.0).apply(image).shape == (120, 80)
    np.testing.assert_array_equal(EyeView(rotation_deg=360.0).apply(image), image)
    turned = EyeView(rotation_deg=10.0).apply(EyeView(rotation_deg=350.0).apply(image))
    assert turned.shape == image.shape
    assert np.abs(turned[20:60, 30:90].astype(int) - image[20:60, 30:90]).mean() < 3
    assert EyeView(rotation_deg=30.0).apply(image)[15, 100] < image[15, 100]  # clockwise


def test_halves_of_an_image_with_both_eyes() -> None:
    both = np.hstack([np.full((64, 80), 10, np.uint8), np.full((64, 80), 200, np.uint8)])
    assert EyeView("left").apply(both).mean() == 10
    assert EyeView("right").apply(both).mean() == 200
    with pytest.raises(BadPicture):
        EyeView("left").apply(both[:, :60])


def test_a_region_outside_the_image_is_told() -> None:
    with pytest.raises(BadPicture, match="not inside 100×80"):
        make_view(EyeCameraSettings("x", region="60,0,64,64")).apply(np.zeros((80, 100), np.uint8))


@pytest.mark.parametrize("region", ["1,2,3", "0,0,10,100", "-1,0,64,64", "a,b,c,d"])
def test_a_region_that_makes_no_sense_is_one_clear_sentence(region: str) -> None:
    with pytest.raises(UserError, match="no region"):
        make_view(EyeCameraSettings("x", region=region))


def test_a_burst_of_images_keeps_its_true_times() -> None:
    """Images that waited half a second on the way must not all be called new."""
    clock = OneWayClock()
    for index in range(20):
        assert clock.capture_ns(index * 20 * MS, 1000 * MS + index * 20 * MS + 3 * MS) > 0
    captured = [clock.capture_ns((20 + i) * 20 * MS, 1900 * MS + i) for i in range(5)]
    expected = [1000 * MS + (20 + i) * 20 * MS + 3 * MS for i in range(5)]
    assert captured == pytest.approx(expected, abs=MS)


def test_a_stamp_that_goes_back_is_rejected() -> None:
    clock = OneWayClock()
    clock.capture_ns(100, 1000)
    for stamp in (100, 99):
        with pytest.raises(BadPicture) as caught:
            clock.capture_ns(stamp, 2000)
        assert caught.value.reason == "backwards"
    assert clock.capture_ns(101, 3000) <= 3000


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**12)), min_size=1))
def test_an_image_is_never_newer_than_its_arrival(steps: list[tuple[int, int]]) -> None:
    clock, device_ns, arrival_ns = OneWayClock(), 0, 0
    for device_step, arrival_step in steps:
        device_ns, arrival_ns = device_ns + device_step, arrival_ns + arrival_step
        assert clock.capture_ns(device_ns, arrival_ns) <= arrival_ns
