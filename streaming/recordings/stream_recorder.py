"""Records a publisher: one thread reads the socket, one writes the file, a bounded queue between.

A disk that hesitates costs nothing as long as the queue lasts; after that messages are left out
and counted. The publisher never waits for any of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import zmq

from streaming.clock import monotonic_ns
from streaming.closing import Closing
from streaming.endpoints import normalise_endpoint
from streaming.frame_message import MAX_JPEG_BYTES
from streaming.recordings.reader import RecordedMessage
from streaming.recordings.writer import RecordingFailed, RecordingWriter
from streaming.security.handshake import Handshake, Refused
from streaming.security.keys import ClientKeys
from streaming.topics import EYE_PARAMETERS, EYES, FACE_STATE, FRAMES, NOTIFY

LOGGER = logging.getLogger(__name__)
TOPICS = (*FRAMES, FACE_STATE, *EYES, *EYE_PARAMETERS, NOTIFY)
POLL_MS = 50  # how soon the end of a recording is noticed
QUEUE_BYTES = 64 * 1024 * 1024  # some 30 s of 720p JPEG: longer than disks hesitate


class StreamRecorder(Closing):
    """Records one publisher into one file, from now until `close`."""

    def __init__(
        self,
        endpoint: str,
        path: Path,
        topics: Sequence[str] = TOPICS,
        overwrite: bool = False,
        queue_bytes: int = QUEUE_BYTES,
        keys: ClientKeys | None = None,
    ) -> None:
        """Create the file and subscribe; a publisher that is not there yet is waited for.

        `keys` (`keys.load_client`) for a publisher on another machine; see `trouble`.
        Raises `RecordingFailed` when the file cannot be created, `AddressMalformed`.
        """
        self.endpoint = normalise_endpoint(endpoint)
        self.path = path
        self.error: RecordingFailed | None = None  # set when it ended by itself
        self._left_out = 0
        self._queue = _ByteQueue(queue_bytes)
        self._stopping = threading.Event()
        self._writer = RecordingWriter(path, self.endpoint, topics, overwrite)
        self._socket = _open(topics)
        self._handshake = Handshake(self._socket, self.endpoint, keys)
        self._threads = [
            threading.Thread(target=work, name=f"recorder-{work.__name__}", daemon=True)
            for work in (self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def trouble(self) -> Refused | None:
        """Why the publisher does not let us in at present, None when it does or is not there."""
        return self._handshake.trouble

    @property
    def messages(self) -> int:
        """Messages in the file so far."""
        return self._writer.messages

    @property
    def bytes(self) -> int:
        """Size of the file so far."""
        return self._writer.bytes

    @property
    def dropped(self) -> int:
        """Messages left out because the disk did not keep up."""
        return self._queue.refused

    @property
    def is_finished(self) -> bool:
        """Whether the file is closed, after a stop or because it could not go on."""
        return not any(thread.is_alive() for thread in self._threads)

    def ask_to_stop(self) -> None:
        """Take nothing more; what waits is still written. Returns at once."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and return when the file is finished. Whether it worked, `error` tells."""
        self.ask_to_stop()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._socket.poll(POLL_MS):
                    parts = tuple(self._socket.recv_multipart())
                    self._queue.put(RecordedMessage(monotonic_ns(), parts))
                self._handshake.tend()
        except zmq.ContextTerminated:
            LOGGER.debug("The messaging context ended before the recorder was closed.")
        except Exception as error:  # a thread that ends without a word would look like success
            self._fail(error)
        finally:
            self._handshake.close()
            self._socket.close()
            self._queue.close()

    def _write(self) -> None:
        try:
            while (message := self._queue.take()) is not None:
                self._add(message)
            self._writer.close(self.dropped)
        except Exception as error:  # not only the disk: memory can be short, too
            self._fail(error)
            self._end_anyway()

    def _add(self, message: RecordedMessage) -> None:
        try:
            self._writer.add(message.arrival_time_ns, message.parts)
        except ValueError as error:  # nothing that unvisor sends
            self._left_out += 1
            if self._left_out == 1:  # a broken sender must not fill the log
                LOGGER.warning("Left out of the recording: %s", error)

    def _fail(self, error: Exception) -> None:
        """Say what ended the recording, once, and take nothing more."""
        is_expected = isinstance(error, RecordingFailed)
        self._stopping.set()
        if self.error is None:
            self.error = error if isinstance(error, RecordingFailed) else self._told(error)
            LOGGER.error("%s", self.error, exc_info=None if is_expected else error)

    def _told(self, error: Exception) -> RecordingFailed:
        why = "memory is short" if isinstance(error, MemoryError) else str(error)
        return RecordingFailed(
            f"The recording {self.path} ended by itself after {self.messages} messages: "
            f"{why or type(error).__name__}.",
            "What was recorded so far is kept; start another one.",
        )

    def _end_anyway(self) -> None:
        """The end record is small; where even that fails, readers see a file cut off."""
        try:
            self._writer.close(self.dropped)
        except Exception:
            LOGGER.debug("The end of %s could not be marked.", self.path, exc_info=True)


class _ByteQueue:
    """Messages between two threads; what does not fit is refused and counted."""

    def __init__(self, capacity_bytes: int) -> None:
        self.refused = 0
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._held: deque[RecordedMessage] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, message: RecordedMessage) -> None:
        size = sum(map(len, message.parts))
        with self._changed:
            if self._held and self._held_bytes + size > self._capacity_bytes:
                self.refused += 1
                return
            self._held.append(message)
            self._held_bytes += size
            self._changed.notify()

    def take(self) -> RecordedMessage | None:
        """The oldest, waiting for one; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._closed)
            if not self._held:
                return None
            message = self._held.popleft()
            self._held_bytes -= sum(map(len, message.parts))
            return message

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _open(topics: Sequence[str]) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_JPEG_BYTES)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.setsockopt(zmq.IPV6, 1)
    for topic in topics:
        socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    return socket
