from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import msgpack
import numpy as np
import pytest
import zmq

from streaming.clock import monotonic_ns
from streaming.delay import STEP_MS, WINDOW, DelayMeter
from streaming.messages import (
    FaceState,
    FrameMessage,
    MessageError,
    Notification,
    Sender,
    decode,
    encode,
)
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status
from streaming.subscriber import Subscriber
from streaming.topic_formats import UNUSED_S, FormatRequest, FormatRequestError, TopicFormats
from streaming.topics import FACE_STATE, FRAME_EYES, FRAME_FACE, FRAME_WORLD, FRAMES, format_topic

WAIT_S = 10.0
SET_FORMAT = "frame_publishing.set_format"


def a_face(frame_id: int = 0) -> RestoredFace:
    now_ns = monotonic_ns()
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=np.full((60, 80, 3), 80, np.uint8),
        crop=np.full((32, 32, 3), 160, np.uint8),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


EYES = (np.full((40, 50), 10, np.uint8), np.full((40, 50), 200, np.uint8))


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(port=0) as opened:
        yield opened


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@contextmanager
def subscribed(publisher: Publisher, *topics: str) -> Iterator[Subscriber]:
    with Subscriber(publisher.endpoint, topics) as subscriber:
        wait_until(lambda: all(publisher.wants(topic) for topic in topics))
        yield subscriber


def frame(subscriber: Subscriber, topic: str) -> FrameMessage:
    arrival = subscriber.take(topic, WAIT_S)
    assert arrival is not None
    assert isinstance(arrival.message, FrameMessage)
    return arrival.message


def ask(publisher: Publisher, image_format: str, asker: Sender | None, **fields: object) -> bool:
    words = {"format": image_format, **fields}
    return publisher.obey(Notification(SET_FORMAT, words, sender=asker))


def appears(name: str) -> Sender:
    """A client that asks its first question now."""
    return Sender(name, time.monotonic())


def formats_seen(publisher: Publisher, client: Subscriber, *topics: str) -> list[str]:
    publisher.publish_restored(a_face(), EYES)
    return [frame(client, topic).format for topic in topics]


def test_second_client_does_not_change_what_the_first_one_sees(publisher: Publisher) -> None:
    """An existing Unity client, JPEG from the eyes only; then a script that wants all in BGR."""
    unity_asks = appears("unity")
    with subscribed(publisher, *FRAME_EYES) as unity:
        assert ask(publisher, "jpeg", unity_asks)
        assert ask(publisher, "bgr", appears("script"))
        with subscribed(publisher, FRAME_WORLD) as script:
            assert formats_seen(publisher, unity, *FRAME_EYES) == ["jpeg", "jpeg"]
            assert frame(script, FRAME_WORLD).format == "bgr"


def test_request_does_not_bind_topics_that_its_client_does_not_use(publisher: Publisher) -> None:
    """The other way round: the script takes one picture in BGR, then the Unity client comes."""
    ask(publisher, "bgr", appears("script"))
    with subscribed(publisher, FRAME_WORLD) as script:
        unity_asks = appears("unity")
        with subscribed(publisher, *FRAME_EYES) as unity:
            ask(publisher, "jpeg", unity_asks)
            assert formats_seen(publisher, unity, *FRAME_EYES) == ["jpeg", "jpeg"]
            assert frame(script, FRAME_WORLD).format == "bgr"


def test_plain_request_takes_every_topic_and_holds_until_the_client_leaves(
    publisher: Publisher,
) -> None:
    ask(publisher, "bgr", appears("script"))
    with subscribed(publisher, *FRAMES) as script:
        assert formats_seen(publisher, script, *FRAMES) == ["bgr"] * 4
        ask(publisher, "jpeg", appears("another"))
        ask(publisher, "jpeg", None)
        assert formats_seen(publisher, script, *FRAMES) == ["bgr"] * 4
    wait_until(lambda: not any(publisher.wants(topic) for topic in FRAMES))
    publisher.publish_restored(a_face())  # once a frame it is noticed who left
    with subscribed(publisher, FRAME_WORLD) as later:
        assert formats_seen(publisher, later, FRAME_WORLD) == ["jpeg"]


def test_client_may_change_its_mind(publisher: Publisher) -> None:
    client_asks = appears("client")
    with subscribed(publisher, FRAME_WORLD) as client:
        ask(publisher, "bgr", client_asks)
        ask(publisher, "gray", client_asks)
        assert formats_seen(publisher, client, FRAME_WORLD) == ["gray"]


def test_subscriber_that_never_asked_takes_what_comes(publisher: Publisher) -> None:
    with subscribed(publisher, FRAME_WORLD) as silent:
        assert formats_seen(publisher, silent, FRAME_WORLD) == ["jpeg"]
        ask(publisher, "bgr", appears("script"))
        assert formats_seen(publisher, silent, FRAME_WORLD) == ["bgr"]


def test_granted_topics_are_announced(publisher: Publisher) -> None:
    ask(publisher, "gray", appears("a"), topics=[FRAME_FACE])
    with (
        subscribed(publisher, FRAME_FACE),
        Subscriber(publisher.endpoint, ["notify.frame_publishing."]) as listener,
    ):
        heard = None
        asker = appears("b")
        while heard is None:  # the subscription takes a moment
            ask(publisher, "bgr", asker)
            heard = listener.take("notify.frame_publishing.", 0.02)
    topics = [FRAME_WORLD, *FRAME_EYES]
    assert heard.message == Notification(
        "frame_publishing.started", {"format": "bgr", "topics": topics}
    )


def test_request_whose_client_never_subscribes_is_forgotten() -> None:
    now_s = [0.0]
    formats = TopicFormats("jpeg", lambda topic: None, lambda: now_s[0])
    assert formats.grant(FormatRequest("bgr", FRAMES, Sender("gone", 0.0))) == FRAMES
    now_s[0] = UNUSED_S - 1
    formats.refresh()
    assert formats.of(FRAME_WORLD) == "bgr"
    now_s[0] = UNUSED_S + 1
    formats.refresh()
    assert formats.of(FRAME_WORLD) == "jpeg"


def test_older_scripts_start_a_plugin_instead() -> None:
    fields = {"name": "Frame_Publisher", "args": {"format": "bgr"}}
    asker = Sender("x", 1.0)
    request = FormatRequest.read(Notification("start_plugin", fields, sender=asker))
    assert request == FormatRequest("bgr", FRAMES, asker)
    assert FormatRequest.read(Notification("start_plugin", {"name": "Recorder"})) is None
    plain = FormatRequest.read(Notification("start_plugin", {"name": "Frame_Publisher"}))
    assert plain is not None
    assert plain.image_format == "jpeg"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"format": "h264"},
        {"format": ["bgr"]},
        {"format": "bgr", "topics": "frame.world"},
        {"format": "bgr", "topics": ["jpeg.world"]},
        {"format": "bgr", "topics": [["x"]]},
    ],
)
def test_impossible_requests_change_nothing(
    publisher: Publisher, fields: dict[str, object]
) -> None:
    with pytest.raises(FormatRequestError):
        FormatRequest.read(Notification(SET_FORMAT, fields))
    assert publisher.obey(Notification(SET_FORMAT, fields))
    with subscribed(publisher, FRAME_WORLD) as client:
        assert formats_seen(publisher, client, FRAME_WORLD) == ["jpeg"]


def test_each_format_has_a_topic_of_its_own_and_is_coded_once_for_all(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, ...]] = []
    imencode = cv2.imencode

    def counting(extension: str, image: np.ndarray, *rest: object) -> object:
        written.append(image.shape)
        return imencode(extension, image, *rest)

    monkeypatch.setattr(cv2, "imencode", counting)
    topics = [FRAME_WORLD, *(format_topic(name, FRAME_WORLD) for name in ("jpeg", "bgr", "gray"))]
    with subscribed(publisher, *topics) as client:
        assert formats_seen(publisher, client, *topics) == ["jpeg", "jpeg", "bgr", "gray"]
    assert written == [(60, 80, 3)]


def test_whoever_subscribes_to_everything_does_not_cost_every_format(publisher: Publisher) -> None:
    with Subscriber(publisher.endpoint, [""]):
        wait_until(lambda: publisher.wants(FRAME_WORLD))
        assert not any(publisher.wants(format_topic("h264", topic)) for topic in FRAMES)
        publisher.publish_restored(a_face(), EYES)
        assert set(publisher.sent) == {*FRAMES, FACE_STATE}
    with Subscriber(publisher.endpoint, ["bgr."]):
        wait_until(lambda: publisher.wants("bgr.eye.1"))
        assert not publisher.wants("gray.eye.1")


def test_topic_that_promises_a_format_carries_no_other(publisher: Publisher) -> None:
    with subscribed(publisher, "bgr.face") as client:
        publisher.publish_restored(a_face())
        message = frame(client, "bgr.face")
    np.testing.assert_array_equal(message.image(), a_face().crop)
    parts = encode(replace(message, format="jpeg", pixels=b"\xff\xd8"))
    with pytest.raises(MessageError, match="format"):
        decode(parts)


def test_eye_topics_may_carry_the_face_for_clients_that_know_only_eyes() -> None:
    with (
        Publisher(port=0, eyes_show="face") as publisher,
        subscribed(publisher, *FRAME_EYES) as client,
    ):
        publisher.publish_restored(a_face(), EYES)
        right, left = (frame(client, topic) for topic in FRAME_EYES)
        without = replace(a_face(1), crop=np.empty((0, 0, 3), np.uint8))
        publisher.publish_restored(without, EYES)
        whole = frame(client, FRAME_EYES[0])
    assert right.pixels == left.pixels
    assert abs(float(right.image().mean()) - 160) < 2
    assert right.synthesised
    assert (whole.height, whole.width) == (60, 80)


def test_numbers_travel_as_float64_and_every_message_has_its_capture_time(
    publisher: Publisher,
) -> None:
    """Pupil's C# client casts to double: an integer or a float32 there raises."""
    raw: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    raw.linger = 0
    raw.subscribe("")
    raw.connect(publisher.endpoint)
    wait_until(lambda: publisher.wants(FACE_STATE))
    publisher.publish_restored(a_face(7), EYES)
    for _ in (FACE_STATE, *FRAMES):
        assert raw.poll(round(WAIT_S * 1000))
        packed = raw.recv_multipart()[1]
        fields = msgpack.unpackb(packed)
        assert isinstance(fields["timestamp"], float)
        assert fields["capture_time_ns"] > 0
        assert packed == msgpack.packb(fields)  # which writes every float with 64 bits
    raw.close()


def test_video_delay_is_told_in_the_face_state(publisher: Publisher) -> None:
    with subscribed(publisher, FACE_STATE) as client:
        delays = []
        for frame_id in range(3):
            late = replace(a_face(frame_id), capture_time_ns=monotonic_ns() - 40_000_000)
            publisher.publish_restored(late)
            arrival = client.take(FACE_STATE, WAIT_S)
            assert arrival is not None
            assert isinstance(arrival.message, FaceState)
            delays.append(arrival.message.video_delay_ms)
    assert delays[0] is None
    assert all(delay is not None and delay >= 40.0 for delay in delays[1:])
    publisher.pause()
    assert publisher.video_delay_ms is None


def test_video_delay_ignores_a_slow_frame_and_follows_a_lasting_change_without_a_jump() -> None:
    meter = DelayMeter()
    assert meter.delay_ms is None
    for _ in range(WINDOW):
        meter.add(0, 40_000_000)
    meter.add(0, 900_000_000)
    assert meter.delay_ms == 40.0
    steps = []
    for _ in range(2 * WINDOW):
        before = meter.delay_ms
        meter.add(0, 50_000_000)
        steps.append(meter.delay_ms - before)
    assert max(steps) <= STEP_MS
    assert meter.delay_ms == 50.0


@pytest.mark.parametrize("topic", [FRAME_WORLD, FACE_STATE])
def test_keys_that_a_newer_publisher_adds_are_no_error(publisher: Publisher, topic: str) -> None:
    with subscribed(publisher, topic) as client:
        publisher.publish_restored(a_face())
        arrival = client.take(topic, WAIT_S)
    assert arrival is not None
    name, packed, *raw = encode(arrival.message)
    richer = msgpack.packb({**msgpack.unpackb(packed), "added later": [1.5, None]})
    again = encode(decode([name, richer, *raw]))
    assert again == [name, packed, *raw]


def test_a_client_that_asks_for_nonsense_does_not_fill_the_log(
    publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(100):
        assert publisher.obey(Notification(SET_FORMAT, {"format": "jpeg2000"}))
    assert 1 <= caplog.text.count("Ignoring a client's request") <= 5
