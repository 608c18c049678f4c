"""Recordings: the messages of one publisher as they came, with their times, in one file.

The bytes are described in `docs/RECORDINGS.md`. A file that was cut off anywhere, by a full disk,
a dead battery or `kill -9`, is read up to its last complete message.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgpack

from streaming.clock import NS_PER_S
from streaming.errors import UserError
from streaming.messages import MessageError, decode
from streaming.subscriber import Arrival

MAGIC = b"\x89UVREC\r\n"  # not text, and a copy that changed its line ends is noticed
VERSION = 1
SUFFIX = ".uvrec"
HEADER, MESSAGE, END = 0, 1, 2  # kinds of records; a reader skips those that it does not know
MAX_BODY_BYTES = 256 * 1024 * 1024  # a broken length must not fill the memory
MAX_PARTS = 16

VERSION_FIELD = struct.Struct("<H")
ENVELOPE = struct.Struct("<II")  # size of the body, CRC-32 of that size and the body
SIZE = struct.Struct("<I")
STAMP = struct.Struct("<BqB")  # kind, arrival_time_ns, number of parts


class RecordingBroken(UserError):
    """The file is no recording, or one of another version."""


@dataclass(frozen=True)
class RecordedMessage:
    """One multipart message as it was received."""

    arrival_time_ns: int  # monotonic clock of the machine that recorded
    parts: tuple[bytes, ...]  # exactly the bytes that came: topic, map, pixels

    @property
    def topic(self) -> str:
        """Topic, with replacement characters where it is not UTF-8."""
        return self.parts[0].decode(errors="replace")


@dataclass(frozen=True)
class RecordingHeader:
    """Where and when a recording was made."""

    endpoint: str  # the publisher's address
    topics: tuple[str, ...]  # topics or prefixes that were subscribed to
    started_unix_s: float  # wall clock at the start
    started_time_ns: int  # monotonic clock of the recording machine at the same moment


@dataclass(frozen=True)
class RecordingSummary:
    """What a whole recording holds."""

    messages: int
    topics: Mapping[str, int]  # messages by topic
    seconds: float  # between the first and the last arrival
    bytes: int  # of the file, up to the end of its last complete record
    is_complete: bool  # False: cut off, or still being written
    torn_bytes: int  # after the last complete record
    dropped: int  # messages that the recorder could not keep up with; 0 when cut off


class Recording:
    """A recording on disk; iterating reads it from the start, one message at a time.

    Nothing is kept in memory, the file may be larger than it. Iterate as often as you like.
    """

    def __init__(self, path: Path) -> None:
        """Read the header; raises `RecordingBroken`."""
        self.path = path
        with self._open() as file:
            self._start = _read_start(path, file)
            body = _next_body(file)
        self.header = _header(path, body)

    def __iter__(self) -> Iterator[RecordedMessage]:
        """Messages in the order in which they came, up to the last complete one."""
        return (_message(body) for body, _ in self._bodies() if body[0] == MESSAGE)

    def arrivals(self, *topics: str) -> Iterator[Arrival]:
        """Decoded messages of these topics or prefixes (all without any); malformed are left out.

        For tests and bug reports: the same records as a `Subscriber` hands out, but every one.
        """
        for message in self:
            if topics and not message.topic.startswith(topics):
                continue
            try:
                yield Arrival(decode(message.parts), message.arrival_time_ns)
            except MessageError:
                continue

    def summary(self) -> RecordingSummary:
        """Read the whole file and count."""
        topics: Counter[str] = Counter()
        first_ns = last_ns = end = 0
        ending: Mapping[str, object] | None = None
        for body, end in self._bodies():  # noqa: B007  # the last one is what is wanted
            if body[0] == MESSAGE:
                message = _message(body)
                first_ns = first_ns if topics else message.arrival_time_ns
                last_ns = message.arrival_time_ns
                topics[message.topic] += 1
            elif body[0] == END:
                ending = _map(body)
        dropped = ending.get("dropped", 0) if ending else 0
        return RecordingSummary(
            messages=sum(topics.values()),
            topics=dict(topics),
            seconds=(last_ns - first_ns) / NS_PER_S,
            bytes=end,
            is_complete=ending is not None,
            torn_bytes=self.path.stat().st_size - end,
            dropped=dropped if isinstance(dropped, int) else 0,
        )

    def _bodies(self) -> Iterator[tuple[bytes, int]]:
        """Bodies of complete records, each with the position of its end in the file."""
        with self._open() as file:
            file.seek(self._start)
            while (body := _next_body(file)) is not None:
                yield body, file.tell()

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise RecordingBroken(f"Cannot read {self.path}: {error.strerror}.") from error


def envelope(*pieces: bytes) -> bytes:
    """What stands in front of a record whose body is these pieces."""
    size = SIZE.pack(sum(map(len, pieces)))
    check = zlib.crc32(size)
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return size + SIZE.pack(check)


def _read_start(path: Path, file: BinaryIO) -> int:
    """Check magic and version; returns where the records begin."""
    start = file.read(len(MAGIC) + VERSION_FIELD.size)
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + VERSION_FIELD.size:
        raise RecordingBroken(
            f"{path} is not a recording of unvisor.", "Make one with `unvisor record --out FILE`."
        )
    (version,) = VERSION_FIELD.unpack(start[len(MAGIC) :])
    if version != VERSION:
        raise RecordingBroken(
            f"{path} is a recording of version {version}; this unvisor reads version {VERSION}.",
            "Use the unvisor that made it.",
        )
    return len(start)


def _next_body(file: BinaryIO) -> bytes | None:
    """The next record's body; None at the end and at anything incomplete or damaged."""
    head = file.read(ENVELOPE.size)
    if len(head) < ENVELOPE.size:
        return None
    size, check = ENVELOPE.unpack(head)
    if not 1 <= size <= MAX_BODY_BYTES:
        return None
    body = file.read(size)
    if len(body) < size or zlib.crc32(body, zlib.crc32(head[: SIZE.size])) != check:
        return None
    if body[0] == MESSAGE and not _is_message(body):
        return None
    return body


def _is_message(body: bytes) -> bool:
    """Whether the lengths of a message's parts add up."""
    if len(body) < STAMP.size:
        return False
    _, _, count = STAMP.unpack_from(body)
    if not 1 <= count <= MAX_PARTS or len(body) < STAMP.size + count * SIZE.size:
        return False
    wanted: int = STAMP.size + count * SIZE.size + sum(_lengths(body, count))
    return wanted == len(body)


def _message(body: bytes) -> RecordedMessage:
    _, arrival_time_ns, count = STAMP.unpack_from(body)
    offset = STAMP.size + count * SIZE.size
    parts = []
    for length in _lengths(body, count):
        parts.append(body[offset : offset + length])
        offset += length
    return RecordedMessage(arrival_time_ns, tuple(parts))


def _lengths(body: bytes, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", body, STAMP.size)


def _header(path: Path, body: bytes | None) -> RecordingHeader:
    fields = _map(body) if body is not None and body[0] == HEADER else None
    names = fields.get("topics") if fields else None
    if fields is None or not isinstance(names, list):
        raise RecordingBroken(f"The header of {path} is cut off or damaged; nothing follows it.")
    return RecordingHeader(
        endpoint=str(fields.get("endpoint", "")),
        topics=tuple(map(str, names)),
        started_unix_s=_number(fields, "started_unix_s"),
        started_time_ns=int(_number(fields, "started_time_ns")),
    )


def _number(fields: Mapping[str, object], key: str) -> float | int:
    value = fields.get(key, 0)
    return value if isinstance(value, float | int) and abs(value) < 2**63 else 0


def _map(body: bytes) -> Mapping[str, object] | None:
    """The map in a header or an end record."""
    try:
        fields = msgpack.unpackb(body[1:], raw=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    return fields if isinstance(fields, dict) else None
