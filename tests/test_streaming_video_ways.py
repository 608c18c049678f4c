"""Video where parts of streaming meet: through the relay, and in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge.remote import open_control, open_publisher
from edge.settings import StreamingSettings
from streaming.async_subscriber import AsyncSubscriber
from streaming.clock import monotonic_ns
from streaming.messages import FrameMessage
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status
from streaming.relay.both_halves import Relay
from streaming.subscriber import Subscriber

WAIT_S = 20.0
SETTINGS = StreamingSettings(control_port=0, publisher_port=0, video_codec="libx264")
TOPIC = "h264.world"


def a_face(frame_id: int) -> RestoredFace:
    now_ns = monotonic_ns()
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=np.full((64, 96, 3), (40, 90, 160), np.uint8),
        crop=np.full((32, 32, 3), 160, np.uint8),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """Publishes 60 frames a second."""
    stop = threading.Event()
    with open_publisher(SETTINGS) as opened:

        def publish() -> None:
            frame_id = 0
            while not stop.wait(1 / 60):
                opened.publish_restored(a_face(frame_id))
                frame_id += 1

        thread = threading.Thread(target=publish)
        thread.start()
        yield opened
        stop.set()
        thread.join()


def is_the_picture(message: object) -> bool:
    assert isinstance(message, FrameMessage)
    return bool(np.abs(message.image().astype(int) - (40, 90, 160)).mean() < 6)


def test_every_client_behind_a_relay_gets_video_also_the_late_one(publisher: Publisher) -> None:
    with (
        open_control(SETTINGS, publisher, lambda: None) as control,
        Relay("127.0.0.1", None, control.port, control_port=0, publisher_port=0) as relay,
        Subscriber(str(relay.publisher_port), [TOPIC]) as early,
    ):
        first = early.take(TOPIC, WAIT_S)
        assert first is not None
        assert is_the_picture(first.message)
        with Subscriber(str(relay.publisher_port), [TOPIC]) as late:
            second = late.take(TOPIC, WAIT_S)
        assert second is not None
        assert is_the_picture(second.message)
        shown = early.take(TOPIC, WAIT_S)
        assert shown is not None
        assert is_the_picture(shown.message)


def test_asyncio_client_decodes_video_too(publisher: Publisher) -> None:
    async def first_pictures() -> list[object]:
        async with AsyncSubscriber(publisher.endpoint, [TOPIC]) as client:
            arrivals = [await client.take(TOPIC, WAIT_S) for _ in range(5)]
        return [None if arrival is None else arrival.message for arrival in arrivals]

    assert all(is_the_picture(message) for message in asyncio.run(first_pictures()))
