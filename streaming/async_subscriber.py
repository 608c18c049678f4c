"""The reference client for asyncio programs: the newest message of each topic, with its age."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from types import TracebackType

import zmq
import zmq.asyncio

from streaming.clock import monotonic_ns
from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.messages import MessageError, decode
from streaming.subscriber import Arrival

LOGGER = logging.getLogger(__name__)
MAX_BATCH = 64  # messages read before others get a turn
AWAY_NS = 150_000_000  # a program that blocked its event loop for longer comes back to old frames
FRESH_NS = 50_000_000  # how long it is then worth waiting for what is newer than all of them


class AsyncSubscriber:
    """Connects to a publisher, now or whenever it appears; use within one event loop.

    A program that blocks its event loop finds, when it comes back, the oldest frames waiting: a
    publisher drops new ones for a client that does not read. They are read, skipped and counted,
    and the newest one of each topic is handed out.
    """

    def __init__(self, endpoint: str, topics: Sequence[str]) -> None:
        """Remember what to read: whole topics or prefixes such as `notify.`.

        Every entry gets a place of its own. Raises `AddressMalformed`. Nothing is connected
        before `async with` or `connect`.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self.rejected = 0  # malformed messages
        self.drops = 0  # messages that something newer replaced before they were taken
        self._topics = tuple(topics)
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

    def _open(self) -> zmq.asyncio.Socket:
        # The context of the whole program, so that `inproc` and its limits are shared.
        context: zmq.asyncio.Context = zmq.asyncio.Context.shadow(zmq.Context.instance())
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        socket.setsockopt(zmq.RCVHWM, 2 * max(1, len(self._topics)))
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        socket.setsockopt(zmq.IPV6, 1)
        for topic in self._topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        socket.connect(self.endpoint)
        return socket

    async def _read(self, socket: zmq.asyncio.Socket) -> None:
        ran_ns = monotonic_ns()
        try:
            while True:
                await socket.poll()
                newest: dict[str, Arrival] = {}
                has_backlog = await self._drain(socket, newest)
                if has_backlog and monotonic_ns() - ran_ns > AWAY_NS:
                    await self._catch_up(socket, newest)
                async with self._changed:
                    self.drops += len(newest.keys() & self._waiting.keys())
                    self._waiting.update(newest)
                    self._changed.notify_all()
                ran_ns = monotonic_ns()
        finally:
            socket.close()

    async def _drain(self, socket: zmq.asyncio.Socket, newest: dict[str, Arrival]) -> bool:
        """Read what waits, keep the newest of each topic; returns whether any was replaced."""
        has_backlog = False
        for _ in range(MAX_BATCH):
            if not await socket.poll(0):
                break
            parts = await socket.recv_multipart()
            has_backlog |= self._keep(newest, parts, monotonic_ns())
        await asyncio.sleep(0)  # a flood of messages must not starve the program's other tasks
        return has_backlog

    async def _catch_up(self, socket: zmq.asyncio.Socket, newest: dict[str, Arrival]) -> None:
        """Read on for a moment: the newest message of a backlog is an old one still.

        The publisher sends what is new only after the queues in between were emptied.
        """
        until_ns = monotonic_ns() + FRESH_NS
        while (left_ns := until_ns - monotonic_ns()) > 0:
            if await socket.poll(max(1, left_ns // 1_000_000)):
                await self._drain(socket, newest)

    def _keep(self, newest: dict[str, Arrival], parts: list[bytes], arrival_ns: int) -> bool:
        """Put one message in its place; returns whether it replaced another."""
        try:
            message = decode(parts)
        except MessageError as error:
            self.rejected += 1
            if self.rejected == 1:  # a broken sender must not fill the log
                LOGGER.warning("Ignoring malformed messages. First: %s", error)
            return False
        name = parts[0].decode()
        entry = name if name in self._topics else self._prefix_of(name)
        has_replaced = entry in newest
        self.drops += has_replaced
        if entry is not None:
            newest[entry] = Arrival(message, arrival_ns)
        return has_replaced

    def _prefix_of(self, topic: str) -> str | None:
        return next((entry for entry in self._topics if topic.startswith(entry)), None)
