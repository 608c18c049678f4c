"""The reference client: a thread of its own reads, one slot per topic holds the newest."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import zmq

from streaming.backlog import Backlog
from streaming.clock import monotonic_ns
from streaming.closing import Closing
from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.frame_message import FrameMessage
from streaming.messages import Message, MessageError, Notification, decode
from streaming.security.handshake import Handshake, Refused
from streaming.security.keys import ClientKeys
from streaming.slot import Latest
from streaming.topics import VIDEO_FORMAT
from streaming.video.reader import VideoReader

LOGGER = logging.getLogger(__name__)
POLL_MS = 50  # how soon `close` is noticed; arrivals wake the reader at once
MAX_BATCH = 64  # messages drained before the newest are handed over
CATCH_UP_S = 0.3  # after standing still, wait so long for what is published now


@dataclass(frozen=True)
class Arrival:
    """One message and when it came, on this machine's monotonic clock."""

    message: Message
    arrival_time_ns: int

    @property
    def age_ns(self) -> int:
        """From capture to arrival; true when the sender runs on this machine. 0 for a word."""
        if isinstance(self.message, Notification):
            return 0
        return self.arrival_time_ns - self.message.capture_time_ns


_Newest = dict[int, tuple[Latest[Arrival], Arrival]]  # by slot


class Subscriber(Closing):
    """Connects to a publisher, now or whenever it appears, and keeps the newest of each topic.

    Pictures of `h264.*` are decoded on arrival and handed over as `bgr`.
    """

    def __init__(
        self, endpoint: str, topics: Sequence[str], keys: ClientKeys | None = None
    ) -> None:
        """Start reading `topics` (whole topics or prefixes such as `notify.`).

        Every entry gets its own slot. Raises `AddressMalformed`; a publisher that is not there
        is no error: it is waited for, and again after it restarts. `keys` (`keys.load_client`)
        for a publisher on another machine; what `trouble` says is not final either.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self.rejected = 0  # malformed messages
        self.slots: dict[str, Latest[Arrival]] = {topic: Latest() for topic in topics}
        self._skipped = 0
        self._videos = VideoReader()
        self._backlogs: dict[int, Backlog] = defaultdict(Backlog)  # by slot
        self._stopping = threading.Event()
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.RCVHWM, 2 * max(1, len(topics)))
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._socket.setsockopt(zmq.IPV6, 1)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._handshake = Handshake(self._socket, self.endpoint, keys)
        self._thread = threading.Thread(target=self._read, name="subscriber", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> Refused | None:
        """Why the publisher does not let us in at present, None when it does or is not there."""
        return self._handshake.trouble

    @property
    def is_connected(self) -> bool:
        """Whether the publisher let us in and is there."""
        return self._handshake.is_connected

    @property
    def drops(self) -> int:
        """Messages that were overwritten before anyone took them, over all topics."""
        return self._skipped + sum(slot.drops for slot in self.slots.values())

    def take(self, topic: str, timeout_s: float | None = None) -> Arrival | None:
        """Return the newest unseen message of one entry of `topics`, waiting for it.

        None after `timeout_s` seconds or once closed; raises KeyError for another topic.
        """
        return self.slots[topic].take(timeout_s)

    def close(self) -> None:
        """Stop reading and wake every taker."""
        self._stopping.set()
        self._thread.join()

    def _read(self) -> None:
        try:
            while not self._stopping.is_set():
                has_arrivals = self._socket.poll(POLL_MS)
                self._handshake.tend()
                if has_arrivals:
                    self._hand_over(self._drain())
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the subscriber was closed.")
        finally:
            self._handshake.close()
            self._socket.close()
            for slot in self.slots.values():
                slot.close()

    def _drain(self) -> list[tuple[int, list[bytes]]]:
        """Read everything that waits, with the time at which it was read."""
        waiting: list[tuple[int, list[bytes]]] = []
        while len(waiting) < MAX_BATCH:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            waiting.append((monotonic_ns(), parts))
        return waiting

    def _hand_over(self, waiting: list[tuple[int, list[bytes]]]) -> None:
        """Leave only the newest of each slot: a taker never wakes for a frame of a backlog."""
        newest: _Newest = {}
        self._sort(waiting, newest)
        # A client that stood still finds the oldest frames first: the rest of the backlog is
        # still in the kernel, and what is published now behind it.
        until_s = time.monotonic() + CATCH_UP_S
        while self._is_behind(newest) and (left_s := until_s - time.monotonic()) > 0:
            if self._socket.poll(round(left_s * 1000)):
                self._sort(self._drain(), newest)
        for slot, arrival in newest.values():
            self._backlogs[id(slot)].add(arrival.age_ns)
            slot.put(arrival)
        self._videos.ask_for_keys(self._socket, self.slots)

    def _sort(self, waiting: list[tuple[int, list[bytes]]], newest: _Newest) -> None:
        for arrival_time_ns, parts in waiting:
            try:
                message = decode(parts)
            except MessageError as error:
                self._reject(error)
                continue
            shown = self._shown(message)
            slot = self._slot_of(parts[0].decode())
            if slot is None:
                continue
            self._skipped += id(slot) in newest
            if shown is None:  # what came before it is of a backlog
                newest.pop(id(slot), None)
            else:
                newest[id(slot)] = slot, Arrival(shown, arrival_time_ns)

    def _is_behind(self, newest: _Newest) -> bool:
        return bool(newest) and all(
            self._backlogs[id(slot)].is_late(arrival.age_ns) for slot, arrival in newest.values()
        )

    def _shown(self, message: Message) -> Message | None:
        """The message as takers get it; None for a picture that misses the ones before it."""
        if isinstance(message, FrameMessage) and message.format == VIDEO_FORMAT:
            return self._videos.decode(message)
        return message

    def _slot_of(self, topic: str) -> Latest[Arrival] | None:
        exact = self.slots.get(topic)
        if exact is not None:
            return exact
        return next((slot for prefix, slot in self.slots.items() if topic.startswith(prefix)), None)

    def _reject(self, error: MessageError) -> None:
        self.rejected += 1
        if self.rejected == 1:  # a broken sender must not fill the log
            LOGGER.warning("Ignoring malformed messages from %s. First: %s", self.endpoint, error)
