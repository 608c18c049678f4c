from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
import zmq

from streaming import picture_coding
from streaming.clock import monotonic_ns
from streaming.messages import FrameMessage, MessageError, decode, encode
from streaming.publisher import Publisher
from streaming.records import ImageU8, RestoredFace, Status
from streaming.subscriber import Subscriber
from streaming.video.h264 import VideoDecoder, VideoEncoder, VideoUnit
from streaming.video.reader import VideoReader

WAIT_S = 10.0
TOPIC = "h264.world"
FACE = "h264.face"


def picture(number: int, height: int = 96, width: int = 128) -> ImageU8:
    """A smooth background with a bright bar that moves: a wrong reference shows at once."""
    ramp = np.linspace(20, 120, width, dtype=np.float32)
    image = np.repeat(np.tile(ramp, (height, 1))[..., None], 3, axis=2).astype(np.uint8)
    left = number * 7 % (width - 15)
    image[:, left : left + 16] = (40, 200, 230)
    return image


def is_picture(image: ImageU8, number: int) -> bool:
    height, width = image.shape[:2]
    wanted = picture(number, height, width).astype(int)
    return bool(np.abs(image.astype(int) - wanted).mean() < 5)


def as_message(encoder: VideoEncoder, number: int, force_key: bool = False) -> FrameMessage:
    image = picture(number, *encoder.shape)
    unit = encoder.encode(image, force_key)
    return FrameMessage(
        topic=TOPIC,
        width=image.shape[1],
        height=image.shape[0],
        index=number,
        timestamp=number / 30,
        format="h264",
        capture_time_ns=number,
        publish_time_ns=number,
        status=(Status.LIVE,),
        filler="none",
        landmark_source="oracle",
        synthesised=False,
        pixels=unit.data,
        unit=unit.number,
        is_key=unit.is_key,
    )


def a_face(frame_id: int) -> RestoredFace:
    now_ns = monotonic_ns()
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=picture(frame_id),
        crop=picture(frame_id, 65, 63),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


@pytest.fixture
def encoder() -> VideoEncoder:
    return VideoEncoder((96, 128), "libx264")


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(port=0, video_codec="libx264") as opened:
        yield opened


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_every_picture_comes_out_at_once_and_looks_as_it_went_in(encoder: VideoEncoder) -> None:
    decoder = VideoDecoder()
    for number in range(70):
        message = as_message(encoder, number)
        assert message.is_key == (number in (0, 60))
        shown = decoder.decode(decode_again(message))
        assert shown is not None
        assert (shown.format, shown.index) == ("bgr", number)
        assert is_picture(shown.image(), number)


def decode_again(message: FrameMessage) -> FrameMessage:
    received = decode(encode(message))
    assert isinstance(received, FrameMessage)
    assert received == message
    return received


@pytest.mark.parametrize("shape", [(97, 129), (33, 32), (16, 16)])
def test_odd_sizes_keep_their_size(shape: tuple[int, int]) -> None:
    shown = VideoDecoder().decode(as_message(VideoEncoder(shape, "libx264"), 0))
    assert shown is not None
    assert shown.image().shape == (*shape, 3)
    assert is_picture(shown.image(), 0)


def test_after_a_lost_picture_nothing_is_shown_until_the_next_key_picture(
    encoder: VideoEncoder,
) -> None:
    decoder = VideoDecoder()
    shown = []
    for number in range(40):
        message = as_message(encoder, number, force_key=number == 25)
        if number == 10:
            continue  # lost on the way
        result = decoder.decode(message)
        if result is not None:
            assert is_picture(result.image(), number)
            shown.append(number)
    assert shown == [*range(10), *range(25, 40)]
    assert decoder.skipped == 14


def test_late_decoder_waits_for_a_key_picture_and_survives_another_encoder(
    encoder: VideoEncoder,
) -> None:
    decoder = VideoDecoder()
    as_message(encoder, 0)
    assert decoder.decode(as_message(encoder, 1)) is None
    assert decoder.is_lost
    assert decoder.decode(as_message(encoder, 2, force_key=True)) is not None
    restarted = VideoEncoder((96, 128), "libx264")
    as_message(restarted, 3)  # its key picture is lost
    assert decoder.decode(as_message(restarted, 4)) is None
    assert decoder.decode(as_message(restarted, 5, force_key=True)) is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\x00\x00\x00\x01",
        lambda data: b"\x00\x00" + bytes(500),
        lambda data: data[: len(data) // 2],
        lambda data: data[:40] + bytes(200) + data[240:],
        lambda data: b"\x00\x00\x00\x01\x67" + b"\xff" * 300,
    ],
)
def test_damaged_pictures_are_never_shown_and_the_next_key_picture_is(
    encoder: VideoEncoder, damage: Callable[[bytes], bytes]
) -> None:
    decoder = VideoDecoder()
    assert decoder.decode(as_message(encoder, 0)) is not None
    broken = as_message(encoder, 1, force_key=True)
    result = decoder.decode(replace(broken, pixels=damage(broken.pixels)))
    assert result is None
    assert decoder.decode(as_message(encoder, 2)) is None
    healed = decoder.decode(as_message(encoder, 3, force_key=True))
    assert healed is not None
    assert is_picture(healed.image(), 3)


def test_picture_of_another_size_than_told_is_not_shown(encoder: VideoEncoder) -> None:
    assert VideoDecoder().decode(replace(as_message(encoder, 0), width=64)) is None


def test_video_without_its_number_or_its_start_code_is_malformed(encoder: VideoEncoder) -> None:
    message = as_message(encoder, 0)
    with pytest.raises(MessageError, match="unit"):
        decode(encode(replace(message, unit=None)))
    with pytest.raises(MessageError, match=r"H\.264"):
        decode(encode(replace(message, pixels=b"junk")))
    with pytest.raises(MessageError, match="VideoDecoder"):
        message.image()


def test_client_receives_pictures_over_the_socket_in_order(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, [TOPIC, FACE]) as client:
        wait_until(lambda: publisher.wants(TOPIC) and publisher.wants(FACE))
        for number in range(20):
            publisher.publish_restored(a_face(number))
            for topic in (TOPIC, FACE):
                arrival = client.take(topic, WAIT_S)
                assert arrival is not None
                assert isinstance(arrival.message, FrameMessage)
                assert is_picture(arrival.message.image(), number)
    assert set(publisher.sent) == {TOPIC, FACE}


def test_late_client_gets_pictures_within_a_moment(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, [TOPIC]) as early:
        wait_until(lambda: publisher.wants(TOPIC))
        publisher.publish_restored(a_face(0))
        assert early.take(TOPIC, WAIT_S) is not None
        with Subscriber(publisher.endpoint, [TOPIC]) as late:
            started_s = time.monotonic()
            number, seen = 1, None
            while seen is None and time.monotonic() - started_s < WAIT_S:
                publisher.publish_restored(a_face(number))
                assert early.take(TOPIC, WAIT_S) is not None  # the first is not disturbed
                seen = late.take(TOPIC, 0.005)
                number += 1
    assert seen is not None
    assert isinstance(seen.message, FrameMessage)
    assert is_picture(seen.message.image(), seen.message.index)


def test_clients_that_come_and_go_do_not_turn_the_video_into_key_pictures(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_coding, "KEY_APART_S", 1000.0)
    raw: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    raw.linger = 0
    raw.connect(publisher.endpoint)
    raw.subscribe(TOPIC)
    wait_until(lambda: publisher.wants(TOPIC))
    keys = []
    for number in range(10):
        with Subscriber(publisher.endpoint, [TOPIC]):
            time.sleep(0.01)
            publisher.publish_restored(a_face(number))
        assert raw.poll(round(WAIT_S * 1000))
        message = decode(raw.recv_multipart())
        assert isinstance(message, FrameMessage)
        keys.append(message.is_key)
    raw.close()
    assert keys == [True] + [False] * 9


def test_subscriber_that_lost_a_picture_asks_for_a_key_picture_by_itself(
    encoder: VideoEncoder,
) -> None:
    sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    sender.linger = 0
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    as_message(encoder, 0)  # the key picture that got lost
    with Subscriber(str(port), [TOPIC]) as client:
        assert sender.recv() == b"\x01" + TOPIC.encode()
        deadline = time.monotonic() + WAIT_S
        number = 1
        while not sender.poll(30):
            assert time.monotonic() < deadline
            sender.send_multipart(encode(as_message(encoder, number)))
            number += 1
        assert sender.recv() == b"\x00" + TOPIC.encode()
        assert sender.recv() == b"\x01" + TOPIC.encode()
        assert client.take(TOPIC, 0) is None
        sender.send_multipart(encode(as_message(encoder, number, force_key=True)))
        arrival = client.take(TOPIC, WAIT_S)
    sender.close()
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    assert is_picture(arrival.message.image(), number)


def test_slow_client_never_sees_a_picture_that_was_put_together_wrongly(
    publisher: Publisher,
) -> None:
    raw: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    raw.linger = 0
    raw.rcvhwm = 1
    raw.rcvbuf = 16 * 1024
    raw.subscribe(TOPIC)
    raw.connect(publisher.endpoint)
    wait_until(lambda: publisher.wants(TOPIC))
    noise = np.random.default_rng(0)
    reader, shown, lost = VideoReader(), 0, 0
    for number in range(300):
        busy = a_face(number)
        busy.image[:32] = noise.integers(0, 255, (32, 128, 3), dtype=np.uint8)
        publisher.publish_restored(busy)
        if number % 100 < 80 or not raw.poll(20):
            continue
        message = decode(raw.recv_multipart())
        assert isinstance(message, FrameMessage)
        result = reader.decode(message)
        if result is None:
            lost += 1
        else:
            shown += 1
            wanted = picture(message.index)[32:].astype(int)
            assert np.abs(result.image()[32:].astype(int) - wanted).mean() < 8
    raw.close()
    assert shown > 0
    assert lost > 0


def test_machine_without_nvenc_falls_back_and_an_encoder_that_fails_stops_nothing(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VideoEncoder((96, 128), "auto").codec in ("h264_nvenc", "libx264")

    def failing(*_: object) -> None:
        raise ValueError("no encoder here")

    monkeypatch.setattr("streaming.video.h264._open_encoder", failing)
    with Subscriber(publisher.endpoint, [TOPIC, "frame.world"]) as client:
        wait_until(lambda: publisher.wants(TOPIC) and publisher.wants("frame.world"))
        publisher.publish_restored(a_face(0))
        assert client.take("frame.world", WAIT_S) is not None
        assert client.take(TOPIC, 0.05) is None


def test_encoder_that_opens_and_does_not_deliver_is_replaced_by_software(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode_really = VideoEncoder.encode
    calls: list[str] = []

    def encode(self: VideoEncoder, image: ImageU8, force_key: bool = False) -> VideoUnit:
        calls.append(self.codec)
        if len(calls) == 1:
            raise ValueError("the chip gave no picture")
        return encode_really(self, image, force_key)

    monkeypatch.setattr(VideoEncoder, "encode", encode)
    coder = picture_coding.PictureCoder(90, "auto")
    assert coder.video(picture(0), TOPIC) is None
    coded = coder.video(picture(1), TOPIC)
    assert coded is not None
    assert coded.is_key
    assert calls[1] == "libx264"


def test_grey_pictures_can_be_video_too() -> None:
    encoder = VideoEncoder((64, 64), "libx264")
    grey = cv2.cvtColor(picture(3, 64, 64), cv2.COLOR_BGR2GRAY).astype(np.uint8)
    assert encoder.encode(grey).is_key
