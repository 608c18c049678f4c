"""The asyncio client: newest wins, ages are told, a blocked event loop finds fresh frames."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest
import zmq

from streaming.async_subscriber import AsyncSubscriber
from streaming.clock import monotonic_ns
from streaming.endpoints import AddressMalformed
from streaming.messages import FaceState, FrameMessage, Notification
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status
from streaming.subscriber import Arrival
from streaming.topics import FACE_STATE, FRAME_WORLD

MS = 1_000_000
WAIT_S = 20.0
Result = TypeVar("Result")


def a_face(frame_id: int, side_px: int = 64) -> RestoredFace:
    now_ns = monotonic_ns()
    noise = np.random.default_rng(frame_id).integers(0, 255, (side_px, side_px, 3), np.uint8)
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=noise,
        crop=noise,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


class Stream:
    """Publishes frames at about 50 a second from a thread, whatever the event loop does."""

    def __init__(self, side_px: int = 64) -> None:
        self.publisher = Publisher(port=0)
        self._side_px = side_px
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        frame_id = 0
        while not self._ended.wait(0.02):
            self.publisher.publish_restored(a_face(frame_id, self._side_px))
            frame_id += 1

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.publisher.close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(port=0) as opened:
        yield opened


def run(program: Callable[[], Awaitable[Result]]) -> Result:
    async def limited() -> Result:
        return await asyncio.wait_for(program(), 60)

    return asyncio.run(limited())


async def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.005)


async def taken(client: AsyncSubscriber, topic: str) -> Arrival:
    arrival = await client.take(topic, WAIT_S)
    assert arrival is not None
    return arrival


def index_of(arrival: Arrival) -> int:
    assert isinstance(arrival.message, FrameMessage)
    return arrival.message.index


def test_a_client_gets_frames_and_states_with_their_ages(publisher: Publisher) -> None:
    async def program() -> None:
        async with AsyncSubscriber(publisher.endpoint, [FRAME_WORLD, FACE_STATE]) as client:
            await wait_until(lambda: publisher.wants(FRAME_WORLD) and publisher.wants(FACE_STATE))
            face = a_face(7)
            publisher.publish_restored(face)
            frame = await taken(client, FRAME_WORLD)
            state = await taken(client, FACE_STATE)
            assert index_of(frame) == 7
            assert isinstance(state.message, FaceState)
            assert frame.arrival_time_ns - frame.age_ns == face.capture_time_ns
            assert 0 < frame.age_ns < WAIT_S * 1e9

    run(program)


def test_frames_that_nobody_took_are_replaced_and_counted(publisher: Publisher) -> None:
    async def program() -> None:
        async with AsyncSubscriber(publisher.endpoint, [FRAME_WORLD]) as client:
            await wait_until(lambda: publisher.wants(FRAME_WORLD))
            for frame_id in range(4):
                publisher.publish_restored(a_face(frame_id))
                await asyncio.sleep(0.05)
            await wait_until(lambda: client.drops >= 3)
            assert index_of(await taken(client, FRAME_WORLD)) == 3
            assert client.drops == 3
            assert await client.take(FRAME_WORLD, 0) is None

    run(program)


@pytest.mark.parametrize("side_px", [64, 400])
def test_a_blocked_event_loop_comes_back_to_a_fresh_frame(side_px: int) -> None:
    """The queues hold the oldest frames of the stall; none of those may be handed out."""

    async def program(stream: Stream) -> None:
        async with AsyncSubscriber(stream.publisher.endpoint, [FRAME_WORLD]) as client:
            before = index_of(await taken(client, FRAME_WORLD))
            time.sleep(1.5)  # what programs should not do, but do
            came_back_ns = monotonic_ns()
            arrival = await taken(client, FRAME_WORLD)
            if index_of(arrival) <= before + 2:  # had arrived before the stall began
                arrival = await taken(client, FRAME_WORLD)
            assert not isinstance(arrival.message, Notification)
            assert arrival.message.capture_time_ns > came_back_ns - 150 * MS

    stream = Stream(side_px)
    try:
        run(lambda: program(stream))
    finally:
        stream.close()


def test_following_ends_when_the_client_is_closed(publisher: Publisher) -> None:
    async def program() -> list[int]:
        client = AsyncSubscriber(publisher.endpoint, [FRAME_WORLD])
        seen: list[int] = []

        async def follow() -> None:
            async for arrival in client.follow(FRAME_WORLD):
                seen.append(index_of(arrival))

        client.connect()
        follower = asyncio.create_task(follow())
        await wait_until(lambda: publisher.wants(FRAME_WORLD))
        for frame_id in range(3):
            publisher.publish_restored(a_face(frame_id))
            await wait_until(lambda count=frame_id + 1: len(seen) == count)
        await client.close()
        await client.close()
        await follower
        assert await client.take(FRAME_WORLD) is None
        return seen

    assert run(program) == [0, 1, 2]


def test_a_prefix_has_a_place_of_its_own_and_a_foreign_topic_is_refused(
    publisher: Publisher,
) -> None:
    async def program() -> None:
        async with AsyncSubscriber(publisher.endpoint, ["notify.", FRAME_WORLD]) as client:
            await wait_until(lambda: publisher.wants(FRAME_WORLD))
            publisher.publish(Notification("unvisor.paused"))
            assert (await taken(client, "notify.")).message == Notification("unvisor.paused")
            with pytest.raises(KeyError):
                await client.take(FACE_STATE, 0)

    run(program)


def test_the_publisher_may_be_restarted() -> None:
    async def program() -> None:
        with Publisher(port=0) as first:
            port = first.port
            client = AsyncSubscriber(first.endpoint, [FRAME_WORLD])
            client.connect()
            await wait_until(lambda: first.wants(FRAME_WORLD))
            first.publish_restored(a_face(1))
            assert index_of(await taken(client, FRAME_WORLD)) == 1
        with Publisher(port=port) as second:
            await wait_until(lambda: second.wants(FRAME_WORLD))
            second.publish_restored(a_face(2))
            assert index_of(await taken(client, FRAME_WORLD)) == 2
        await client.close()

    run(program)


def test_a_flood_of_malformed_messages_starves_nobody() -> None:
    async def program() -> None:
        sender: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        port = sender.bind_to_random_port("tcp://127.0.0.1")
        ended = threading.Event()

        def flood() -> None:
            while not ended.is_set():
                sender.send_multipart([b"frame.world", b"\xc1", b"no picture"])

        flooder = threading.Thread(target=flood)
        flooder.start()
        try:
            async with AsyncSubscriber(f"{port}", [FRAME_WORLD]) as client:
                await wait_until(lambda: client.rejected > 1000)
                assert await client.take(FRAME_WORLD, 0.05) is None
        finally:
            ended.set()
            flooder.join()
            sender.close(0)

    run(program)


def test_what_is_no_address_is_refused_at_once() -> None:
    with pytest.raises(AddressMalformed):
        AsyncSubscriber("nowhere", [FRAME_WORLD])
