"""The reference client for asyncio programs: the newest message of each topic, with its age."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType

import zmq
import zmq.asyncio

from streaming.backlog import Backlog
from streaming.clock import monotonic_ns
from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.messages import FrameMessage, Message, MessageError, decode
from streaming.security.handshake import Handshake, Refused
from streaming.security.keys import ClientKeys
from streaming.subscriber import Arrival
from streaming.topics import VIDEO_FORMAT
from streaming.video.reader import VideoReader

LOGGER = logging.getLogger(__name__)
POLL_MS = 500  # how soon a refused connection is noticed; arrivals wake the reader at once
MAX_BATCH = 64  # messages read before others get a turn
CATCH_UP_NS = 100_000_000  # after standing still, wait so long for what is published now


class AsyncSubscriber:
    """Connects to a publisher, now or whenever it appears; use within one event loop.

    A program that blocks its event loop finds, when it comes back, the oldest frames waiting: a
    publisher drops new ones for a client that does not read. They are read, skipped and counted,
    and the newest one of each topic is handed out.
    """

    def __init__(
        self, endpoint: str, topics: Sequence[str], keys: ClientKeys | None = None
    ) -> None:
        """Remember what to read: whole topics or prefixes such as `notify.`.

        Every entry gets a place of its own. Raises `AddressMalformed`. Nothing is connected
        before `async with` or `connect`. `keys` (`keys.load_client`) for a publisher on another
        machine; pictures of `h264.*` are decoded on arrival and handed out as `bgr`.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self.rejected = 0  # malformed messages
        self.drops = 0  # messages that something newer replaced before they were taken
        self.trouble: Refused | None = None  # why the publisher does not let us in at present
        self._topics = tuple(topics)
        self._keys = keys
        self._videos = VideoReader()
        self._backlogs: dict[str, Backlog] = defaultdict(Backlog)
        self._waiting: dict[str, Arrival] = {}
        self._changed = asyncio.Condition()
        self._closed = False
        self._reader: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Start reading; called within the event loop. A publisher may come later, or again."""
        if self._reader is None and not self._closed:
            self._reader = asyncio.get_running_loop().create_task(self._read(self._open()))

    async def take(self, topic: str, timeout_s: float | None = None) -> Arrival | None:
        """Return the newest unseen message of one entry of `topics`, waiting for it.

        None after `timeout_s` seconds or once closed; raises KeyError for another topic.
        """
        if topic not in self._topics:
            raise KeyError(topic)
        with suppress(asyncio.TimeoutError):
            async with self._changed:
                waiting = self._changed.wait_for(lambda: topic in self._waiting or self._closed)
                await asyncio.wait_for(waiting, timeout_s)
        return self._waiting.pop(topic, None)

    async def follow(self, topic: str) -> AsyncIterator[Arrival]:
        """Every newest message of one entry of `topics`, until closed."""
        while (arrival := await self.take(topic)) is not None:
            yield arrival

    async def close(self) -> None:
        """Stop reading and wake every taker."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        async with self._changed:
            self._changed.notify_all()

    async def __aenter__(self) -> AsyncSubscriber:
        """Connect and return itself."""
        self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()

    def _open(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        socket.setsockopt(zmq.RCVHWM, 2 * max(1, len(self._topics)))
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.IPV6, 1)
        for topic in self._topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        return socket

    async def _read(self, plain: zmq.Socket[bytes]) -> None:
        handshake = Handshake(plain, self.endpoint, self._keys)
        socket = zmq.asyncio.Socket.from_socket(plain)
        try:
            while True:
                if await socket.poll(POLL_MS):
                    await self._hand_over(socket)
                handshake.tend()
                self.trouble = handshake.trouble
        finally:
            self._closed = True  # also when something unforeseen ended the reading: `close` tells
            handshake.close()
            socket.close()
            plain.close()
            async with self._changed:
                self._changed.notify_all()

    async def _hand_over(self, socket: zmq.asyncio.Socket) -> None:
        newest: dict[str, Arrival] = {}
        await self._drain(socket, newest)
        # A program that stood still finds the oldest frames first: what is published now comes
        # only after the queues in between were emptied.
        until_ns = monotonic_ns() + CATCH_UP_NS
        while self._is_behind(newest) and (left_ns := until_ns - monotonic_ns()) > 0:
            if await socket.poll(max(1, left_ns // 1_000_000)):
                await self._drain(socket, newest)
        for entry, arrival in newest.items():
            self._backlogs[entry].add(arrival.age_ns)
        self._videos.ask_for_keys(socket, self._topics)
        async with self._changed:
            self.drops += len(newest.keys() & self._waiting.keys())
            self._waiting.update(newest)
            self._changed.notify_all()

    async def _drain(self, socket: zmq.asyncio.Socket, newest: dict[str, Arrival]) -> None:
        """Read what waits and keep the newest of each topic."""
        for _ in range(MAX_BATCH):
            if not await socket.poll(0):
                break
            self._sort(await socket.recv_multipart(), monotonic_ns(), newest)
        await asyncio.sleep(0)  # a flood of messages must not starve the program's other tasks

    def _sort(self, parts: list[bytes], arrival_ns: int, newest: dict[str, Arrival]) -> None:
        """Put one message in its place."""
        try:
            message = decode(parts)
        except MessageError as error:
            self.rejected += 1
            if self.rejected == 1:  # a broken sender must not fill the log
                LOGGER.warning("Ignoring malformed messages. First: %s", error)
            return
        name = parts[0].decode()
        entry = name if name in self._topics else self._prefix_of(name)
        if entry is None:
            return
        self.drops += entry in newest
        newest.pop(entry, None)
        shown = self._shown(message)
        if shown is not None:
            newest[entry] = Arrival(shown, arrival_ns)

    def _shown(self, message: Message) -> Message | None:
        """The message as takers get it; None for a picture that misses the ones before it."""
        if isinstance(message, FrameMessage) and message.format == VIDEO_FORMAT:
            return self._videos.decode(message)
        return message

    def _is_behind(self, newest: dict[str, Arrival]) -> bool:
        return bool(newest) and all(
            self._backlogs[entry].is_late(arrival.age_ns) for entry, arrival in newest.items()
        )

    def _prefix_of(self, topic: str) -> str | None:
        return next((entry for entry in self._topics if topic.startswith(entry)), None)
