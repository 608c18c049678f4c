from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
import zmq

from streaming import publisher as publisher_module
from streaming.clock import monotonic_ns
from streaming.endpoints import (
    AddressInUse,
    AddressMalformed,
    AddressNotAllowed,
    normalise_endpoint,
)
from streaming.errors import UserError
from streaming.messages import FaceState, FrameMessage, Notification, decode
from streaming.publisher import Publisher, is_synthesised
from streaming.records import EyeObservation, RestoredFace, Side, Status
from streaming.subscriber import Arrival, Subscriber
from streaming.topics import EYES, FACE_STATE, FRAME_EYES, FRAME_FACE, FRAME_WORLD

WAIT_S = 10.0


def a_face(frame_id: int = 0, height: int = 60, width: int = 80) -> RestoredFace:
    now_ns = monotonic_ns()
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns + 1,
        image=np.full((height, width, 3), 80, np.uint8),
        crop=np.full((32, 32, 3), 160, np.uint8),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


def an_observation(side: Side) -> EyeObservation:
    zeros = np.zeros(5, np.float32)
    return EyeObservation(side, monotonic_ns(), np.zeros((2, 9, 2), np.float32), zeros, zeros, 0, 1)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(port=0) as opened:
        yield opened


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def subscribed(publisher: Publisher, *topics: str) -> Subscriber:
    subscriber = Subscriber(publisher.endpoint, topics)
    wait_until(lambda: all(publisher.wants(topic) for topic in topics))
    return subscriber


def taken(subscriber: Subscriber, topic: str) -> Arrival:
    arrival = subscriber.take(topic, WAIT_S)
    assert arrival is not None
    return arrival


def raw_subscriber(publisher: Publisher, topic: str) -> zmq.Socket[bytes]:
    """A client that reads only when told, and that holds little by itself."""
    raw: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    raw.linger = 0
    raw.rcvhwm = 1
    raw.rcvbuf = 64 * 1024
    raw.subscribe(topic)
    raw.connect(publisher.endpoint)
    return raw


def test_restored_face_reaches_the_client_on_every_topic(publisher: Publisher) -> None:
    topics = (FRAME_WORLD, FRAME_FACE, *FRAME_EYES, FACE_STATE)
    eyes = (np.full((40, 50), 10, np.uint8), np.full((40, 50), 200, np.uint8))
    face = a_face(frame_id=3)
    with subscribed(publisher, *topics) as client:
        publisher.publish_restored(face, eyes, (5, None))
        world, crop, right, left, state = (taken(client, topic).message for topic in topics)
    assert isinstance(world, FrameMessage)
    assert isinstance(crop, FrameMessage)
    assert isinstance(right, FrameMessage)
    assert isinstance(left, FrameMessage)
    assert isinstance(state, FaceState)
    assert (world.index, world.width, world.height, world.format) == (3, 80, 60, "jpeg")
    assert world.capture_time_ns == state.capture_time_ns == face.capture_time_ns
    assert world.timestamp == pytest.approx(face.capture_time_ns / 1e9)
    assert world.synthesised
    assert not right.synthesised
    assert crop.synthesised
    assert state.synthesised
    assert abs(float(world.image().mean()) - 80) < 2
    assert abs(float(crop.image().mean()) - 160) < 2
    assert right.image().mean() < 20 < 190 < left.image().mean()
    assert state.eye_ages_ns == (5, None)
    np.testing.assert_array_equal(state.landmarks, face.landmarks)


def test_every_topic_of_every_frame_arrives_not_only_the_first_of_each_burst(
    publisher: Publisher,
) -> None:
    """Regression: a high-water mark of 1 or 2 dropped the last topics of every frame."""
    topics = (FRAME_WORLD, FRAME_FACE, *FRAME_EYES, FACE_STATE)
    eyes = (np.zeros((40, 50), np.uint8),) * 2
    with subscribed(publisher, *topics) as client:
        for frame_id in range(20):
            publisher.publish_restored(a_face(frame_id), eyes)
            for topic in topics:
                assert getattr(taken(client, topic).message, "index", None) == frame_id
    assert client.drops == 0


def test_topics_that_nobody_wants_are_not_encoded(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, ...]] = []
    imencode = cv2.imencode

    def counting(extension: str, image: np.ndarray, *rest: object) -> object:
        written.append(image.shape)
        return imencode(extension, image, *rest)

    monkeypatch.setattr(cv2, "imencode", counting)
    publisher.publish_restored(a_face())
    assert written == []
    with subscribed(publisher, FRAME_FACE) as client:
        publisher.publish_restored(a_face())
        taken(client, FRAME_FACE)
    assert written == [(32, 32, 3)]
    wait_until(lambda: not publisher.wants(FRAME_FACE))
    publisher.publish_restored(a_face())
    assert written == [(32, 32, 3)]
    assert publisher.encoded == publisher.sent == {FRAME_FACE: 1}


def test_prefix_subscription_wants_every_topic_below_it(publisher: Publisher) -> None:
    raw = raw_subscriber(publisher, "frame.")
    wait_until(lambda: publisher.wants(FRAME_WORLD))
    assert publisher.wants(FRAME_EYES[1])
    assert not publisher.wants(FACE_STATE)
    raw.close()


def test_strange_subscriptions_and_words_from_clients_are_ignored(publisher: Publisher) -> None:
    hostile: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XSUB)
    hostile.linger = 0
    hostile.connect(publisher.endpoint)
    for word in (b"hello", b"", b"\x02frame.world", b"\x01" + bytes(900), b"\x01elsewhere"):
        hostile.send(word)
    hostile.send_multipart([b"a", b"\x01" + FACE_STATE.encode()])
    hostile.send(b"\x01" + FRAME_WORLD.encode())
    wait_until(lambda: publisher.wants(FRAME_WORLD))
    assert not publisher.wants(FACE_STATE)
    publisher.publish_restored(a_face())
    assert publisher.sent == {FRAME_WORLD: 1}
    hostile.close()


def test_client_that_never_reads_does_not_slow_the_publisher_and_wakes_to_recent_frames(
    publisher: Publisher,
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    with subscribed(publisher, FRAME_WORLD) as reader:
        # Told apart by the topic that it alone wants: both have to be there from the first frame.
        sleeper = raw_subscriber(publisher, "frame.")
        wait_until(lambda: publisher.wants(FRAME_FACE))
        for frame_id in range(200):
            publisher.publish_restored(replace(a_face(frame_id), image=noise))
            taken(reader, FRAME_WORLD)  # the client beside it gets every frame
    assert publisher.sent[FRAME_WORLD] == 200
    woken: list[int] = []
    deadline = time.monotonic() + WAIT_S
    while woken[-1:] != [1000] and time.monotonic() < deadline:
        publisher.publish_restored(a_face(frame_id=1000))
        while sleeper.poll(20):
            message = decode(sleeper.recv_multipart())
            assert isinstance(message, FrameMessage)
            woken.append(message.index)
    sleeper.close()
    assert woken[-1] == 1000
    assert len([index for index in woken if index < 200]) < 40  # the rest was dropped, not queued


def test_subscriber_that_slept_hands_over_the_newest_of_its_backlog(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, awake = threading.Event(), threading.Event()
    drain = Subscriber._drain

    def sleepy(self: Subscriber) -> object:
        asleep.set()
        awake.wait(WAIT_S)
        return drain(self)

    monkeypatch.setattr(Subscriber, "_drain", sleepy)
    with subscribed(publisher, FRAME_WORLD) as client:
        frame_id = 0
        publisher.publish_restored(a_face(frame_id))
        assert asleep.wait(WAIT_S)
        for frame_id in range(1, 200):
            publisher.publish_restored(a_face(frame_id, 300, 400))
        awake.set()
        newest = -1
        deadline = time.monotonic() + WAIT_S
        while newest < 1000 and time.monotonic() < deadline:
            publisher.publish_restored(a_face(1000))
            arrival = client.take(FRAME_WORLD, 0.05)
            newest = getattr(arrival.message, "index", newest) if arrival else newest
    assert newest == 1000
    assert client.rejected == 0


def test_late_subscriber_starts_at_the_newest_frame(publisher: Publisher) -> None:
    with subscribed(publisher, FRAME_WORLD) as early:
        for frame_id in range(50):
            publisher.publish_restored(a_face(frame_id))
        taken(early, FRAME_WORLD)
        late = raw_subscriber(publisher, FRAME_WORLD)
        received: list[bytes] = []
        frame_id = 50
        while not received:
            publisher.publish_restored(a_face(frame_id))
            frame_id += 1
            if late.poll(20):
                received = late.recv_multipart()
        late.close()
    first = decode(received)
    assert isinstance(first, FrameMessage)
    assert 50 <= first.index < frame_id


def test_subscriber_may_start_first_and_survives_a_restart_of_the_publisher() -> None:
    with Publisher(port=0) as first:
        port = first.port
    with Subscriber(f"127.0.0.1:{port}", EYES) as client:
        for _ in range(2):
            with Publisher(port=port) as publisher:
                wait_until(lambda publisher=publisher: publisher.wants(EYES[1]))  # type: ignore[misc]
                publisher.publish(an_observation(Side.LEFT))
                message = taken(client, EYES[1]).message
                assert isinstance(message, EyeObservation)
                assert message.side is Side.LEFT


def test_clients_that_come_and_go_never_bring_the_publisher_down() -> None:
    """Regression: the process crashed when the send queue's limit changed as a client left."""
    for frame_id in range(40):
        with Publisher(port=0) as publisher:
            for topic in (FRAME_WORLD, FRAME_FACE):
                with subscribed(publisher, topic) as client:
                    publisher.publish_restored(a_face(frame_id))
                    taken(client, topic)


def test_both_eyes_arrive_in_slots_of_their_own_with_their_ages(publisher: Publisher) -> None:
    with subscribed(publisher, *EYES) as client:
        for side in Side:
            assert publisher.publish(an_observation(side))
        for side in Side:
            arrival = taken(client, EYES[side.eye_index])
            assert isinstance(arrival.message, EyeObservation)
            assert arrival.message.side is side
            assert arrival.age_ns == arrival.arrival_time_ns - arrival.message.capture_time_ns
            assert 0 <= arrival.age_ns < WAIT_S * 1e9


def test_malformed_messages_are_counted_and_the_next_good_one_still_arrives() -> None:
    sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    sender.linger = 0
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    with Subscriber(str(port), ["eye.0", "notify."]) as client:
        assert {sender.recv(), sender.recv()} == {b"\x01eye.0", b"\x01notify."}
        for parts in ([b"eye.0"], [b"eye.0", b"\xc1"], [b"eye.0.more", b"\x80"]):
            sender.send_multipart(parts)
            time.sleep(0.02)
        sender.send_multipart([b"notify.x", b"\x81\xa7subject\xa1x"])
        assert taken(client, "notify.").message == Notification("x", {})
        assert client.rejected == 3
        assert client.take("eye.0", 0) is None
    sender.close()


@pytest.mark.parametrize(("patience_s", "wanted"), [(WAIT_S, "fresh"), (0.05, "old")])
def test_client_that_stood_still_skips_the_backlog_when_something_newer_follows(
    monkeypatch: pytest.MonkeyPatch, patience_s: float, wanted: str
) -> None:
    monkeypatch.setattr("streaming.subscriber.CATCH_UP_S", patience_s)
    topic = EYES[0]
    with Publisher(port=0) as publisher, subscribed(publisher, topic) as client:
        publisher.publish(an_observation(Side.RIGHT))
        taken(client, topic)
        now_ns = monotonic_ns()
        old = replace(an_observation(Side.RIGHT), capture_time_ns=now_ns - 3_000_000_000)
        publisher.publish(old)
        if wanted == "fresh":
            assert client.take(topic, 0.05) is None
            publisher.publish(an_observation(Side.RIGHT))
        message = taken(client, topic).message
    assert isinstance(message, EyeObservation)
    assert (message.capture_time_ns >= now_ns) == (wanted == "fresh")


def test_pause_holds_frames_back_at_once_and_says_so(publisher: Publisher) -> None:
    with (
        subscribed(publisher, FRAME_WORLD) as client,
        Subscriber(publisher.endpoint, ["notify.unvisor."]) as listener,
    ):
        heard = None
        while heard is None:  # the second subscription takes a moment
            publisher.pause()
            heard = listener.take("notify.unvisor.", 0.02)
        assert heard.message == Notification("unvisor.paused", {})
        assert publisher.paused
        publisher.publish_restored(a_face(1))
        assert client.take(FRAME_WORLD, 0.1) is None
        publisher.resume()
        publisher.publish_restored(a_face(2))
        message = taken(client, FRAME_WORLD).message
        assert isinstance(message, FrameMessage)
        assert message.index == 2


def test_who_joins_during_a_pause_is_told_of_it(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.publisher.TELL_PAUSED_EVERY_S", 0.05)
    publisher.pause()
    with Subscriber(publisher.endpoint, [FRAME_WORLD, "notify.unvisor."]) as late:
        heard, end_s = None, time.monotonic() + WAIT_S
        while heard is None and time.monotonic() < end_s:
            publisher.publish_restored(a_face())  # the session goes on
            heard = late.take("notify.unvisor.", 0.02)
        assert heard is not None
        assert heard.message == Notification("unvisor.paused", {})
        assert late.take(FRAME_WORLD, 0) is None
        publisher.resume()
        told = publisher.sent["notify.unvisor.paused"]
        time.sleep(0.06)
        publisher.publish_restored(a_face())
    assert publisher.sent["notify.unvisor.paused"] == told


def test_a_pause_is_told_once_a_second_not_with_every_frame(publisher: Publisher) -> None:
    publisher.pause()
    for _ in range(20):
        publisher.publish_restored(a_face())
    assert publisher.sent["notify.unvisor.paused"] == 1


def test_client_may_ask_for_another_image_format(publisher: Publisher) -> None:
    with subscribed(publisher, FRAME_WORLD) as client:
        assert publisher.obey(Notification("frame_publishing.set_format", {"format": "bgr"}))
        assert publisher.obey(Notification("frame_publishing.set_format", {"format": ["png"]}))
        publisher.publish_restored(a_face())
        message = taken(client, FRAME_WORLD).message
    assert isinstance(message, FrameMessage)
    assert message.format == "bgr"
    np.testing.assert_array_equal(message.image(), a_face().image)
    assert not publisher.obey(Notification("unvisor.pause"))


def test_frame_without_a_crop_publishes_the_rest(publisher: Publisher) -> None:
    bare = replace(
        a_face(),
        crop=np.zeros((0, 0, 3), np.uint8),
        landmarks=np.zeros((0, 3), np.float32),
        status=(Status.NO_FACE,),
    )
    with subscribed(publisher, FRAME_WORLD, FRAME_FACE, FACE_STATE) as client:
        publisher.publish_restored(bare)
        state = taken(client, FACE_STATE).message
        message = taken(client, FRAME_WORLD).message
        assert client.take(FRAME_FACE, 0.1) is None
    assert isinstance(message, FrameMessage)
    assert not message.synthesised
    assert isinstance(state, FaceState)
    assert not state.synthesised


@pytest.mark.parametrize(
    ("filler", "status", "wanted"),
    [
        ("unvisor", Status.LIVE, True),
        ("warp-blend", Status.STALE_EYES, True),
        ("none", Status.WARMING, False),
        ("unvisor", Status.NO_HEADSET, False),
        ("unvisor", Status.NO_FACE, False),
    ],
)
def test_frames_are_called_synthesised_when_a_filler_made_pixels(
    filler: str, status: Status, wanted: bool
) -> None:
    assert is_synthesised(replace(a_face(), filler=filler, status=(status,))) is wanted


def test_port_in_use_is_named_with_the_next_step(publisher: Publisher) -> None:
    with pytest.raises(AddressInUse, match=rf"Port {publisher.port}.*Stop the other program"):
        Publisher(port=publisher.port)


def test_port_held_by_something_else_is_named_too() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(AddressInUse, match=str(other.getsockname()[1])):
            Publisher(port=other.getsockname()[1])


def test_port_is_free_again_after_close() -> None:
    with Publisher(port=0) as first:
        port = first.port
    with Publisher(port=port) as second:
        assert second.port == port


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.168.1.4", "::", "example.org", ""])
def test_other_machines_are_not_let_in(host: str) -> None:
    with pytest.raises(AddressNotAllowed, match="not encrypted"):
        Publisher(port=0, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_every_loopback_address_will_do(host: str) -> None:
    with Publisher(port=0, host=host) as publisher:
        assert publisher.endpoint.endswith(f":{publisher.port}")


@pytest.mark.parametrize("port", [-1, 65536])
def test_impossible_port_is_refused(port: int) -> None:
    with pytest.raises(AddressMalformed, match=str(port)):
        Publisher(port=port)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("50021", "tcp://127.0.0.1:50021"),
        ("host-1.local:5", "tcp://host-1.local:5"),
        (" tcp://10.0.0.1:50021 ", "tcp://10.0.0.1:50021"),
        ("tcp://[::1]:50021", "tcp://[::1]:50021"),
    ],
)
def test_addresses_may_be_abbreviated(text: str, wanted: str) -> None:
    assert normalise_endpoint(text) == wanted


@pytest.mark.parametrize("text", ["", "host", "host:0", "host:99999", "http://host:80", "a b:5"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:50021"):
        normalise_endpoint(text)


def test_publishing_after_close_is_harmless() -> None:
    publisher = Publisher(port=0)
    publisher.close()
    publisher.publish_restored(a_face())
    assert not publisher.publish(Notification("unvisor.paused"))
    publisher.close()


def test_publisher_serves_several_threads_at_once(publisher: Publisher) -> None:
    with subscribed(publisher, FRAME_WORLD, FACE_STATE) as client:
        threads = [
            threading.Thread(
                target=lambda: [publisher.publish_restored(a_face(n)) for n in range(50)]
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        taken(client, FRAME_WORLD)
        assert client.rejected == 0
    assert publisher.sent == {FRAME_WORLD: 200, FACE_STATE: 200}


def test_jpeg_quality_decides_the_size_of_what_is_sent() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    sizes = []
    for quality in (30, 95):
        with Publisher(port=0, jpeg_quality=quality) as publisher:
            with subscribed(publisher, FRAME_WORLD) as client:
                publisher.publish_restored(replace(a_face(), image=noise))
                message = taken(client, FRAME_WORLD).message
            assert isinstance(message, FrameMessage)
            sizes.append(len(message.pixels))
    assert sizes[0] < sizes[1] / 2
    with pytest.raises(ValueError, match="jpeg_quality"):
        publisher_module.Publisher(port=0, jpeg_quality=0)
