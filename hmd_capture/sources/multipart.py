"""Taking a camera's endless HTTP answer apart, whatever pieces it arrives in. No sockets here."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from hmd_capture.sources.device import DeviceLost
from hmd_capture.sources.pictures import MAX_JPEG_BYTES

MAX_HEAD_BYTES = 8192
MAX_CHUNK_LINE_BYTES = 64
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Part:
    """One image of the stream."""

    arrival_ns: int  # when its header had come
    device_ns: int | None  # the camera's own stamp
    jpeg: bytes


class HttpStream:
    """Reads head, chunks and parts; `feed` is given bytes as they come."""

    def __init__(self, counts: Counter[str]) -> None:
        """`counts` takes what was rejected: "garbage" in bytes, "header" and "too large"."""
        self._counts = counts
        self._head = bytearray()
        self._chunks: _Chunks | None = None
        self._parts: PartScanner | None = None

    def feed(self, received: bytes, time_ns: int) -> list[Part]:
        """Return the images that are complete now; raises `DeviceLost` for an unusable answer."""
        if self._parts is None:
            self._head += received
            end = self._head.find(HEAD_END)
            if end < 0:
                if len(self._head) > MAX_HEAD_BYTES:
                    raise DeviceLost("its answer is no HTTP")
                return []
            self._read_head(bytes(self._head[:end]))
            received = bytes(self._head[end + len(HEAD_END) :])
        assert self._parts is not None
        body = received if self._chunks is None else self._chunks.feed(received)
        return self._parts.feed(body, time_ns)

    def _read_head(self, head: bytes) -> None:
        first, _, rest = head.decode("latin-1").partition("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?(.{0,60}).*", first)
        if match is None:
            raise DeviceLost("its answer is no HTTP")
        headers = _headers(rest)
        if match[1].startswith("3"):
            raise DeviceLost(f"it redirects to {headers.get('location', 'nowhere')[:80]!r}")
        if match[1] != "200":
            raise DeviceLost(f"it answers {match[1]} {match[2]}".rstrip())
        kind = headers.get("content-type", "")
        boundary = re.search(r'boundary="?([^";]{1,100})', kind)
        if not kind.startswith("multipart/") or boundary is None:
            raise DeviceLost(f"it sends {kind[:40] or 'nothing known'!r}, which is no MJPEG stream")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            self._chunks = _Chunks()
        self._parts = PartScanner(boundary[1].strip().encode("latin-1"), self._counts)


class PartScanner:
    """Finds the images between the boundaries; what is malformed is skipped and counted."""

    def __init__(self, boundary: bytes, counts: Counter[str]) -> None:
        """`boundary` as the answer's head names it."""
        # Some servers name it with its two dashes, some without.
        self._delimiter = b"--" + boundary.lstrip(b"-")
        self._counts = counts
        self._buffer = bytearray()
        self._header: tuple[int | None, int | None, int] | None = None  # length, stamp, arrival

    def feed(self, received: bytes, time_ns: int) -> list[Part]:
        """Return the images that are complete now."""
        self._buffer += received
        parts: list[Part] = []
        while self._header is not None or self._find_header(time_ns):
            part = self._take_part()
            if part is None:
                break
            parts.append(part)
        return parts

    def _find_header(self, time_ns: int) -> bool:
        while (at := self._buffer.find(self._delimiter)) >= 0:
            end = self._buffer.find(HEAD_END, at)
            if end < 0 and len(self._buffer) - at <= MAX_HEAD_BYTES:
                self._skip(at)
                return False
            text = bytes(self._buffer[at:end]) if end >= 0 else b""
            header = (
                _part_header(text.decode("latin-1")) if 0 < len(text) < MAX_HEAD_BYTES else None
            )
            if header is None:
                self._counts["header"] += 1
                del self._buffer[: at + len(self._delimiter)]
                continue
            self._skip(at)
            del self._buffer[: end - at + len(HEAD_END)]
            self._header = (*header, time_ns)
            return True
        self._skip(max(0, len(self._buffer) - len(self._delimiter) + 1))
        return False

    def _take_part(self) -> Part | None:
        """The part whose header was read; None while it is not complete."""
        assert self._header is not None
        length, stamp, arrival_ns = self._header
        end = self._buffer.find(self._delimiter) if length is None else length
        if end < 0 or end > len(self._buffer):
            if len(self._buffer) > MAX_JPEG_BYTES:
                self._counts["too large"] += 1
                self._header = None
                self._buffer.clear()
            return None
        jpeg = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._header = None
        return Part(arrival_ns, stamp, jpeg.removesuffix(b"\r\n") if length is None else jpeg)

    def _skip(self, count: int) -> None:
        if count:
            rubbish = bytes(self._buffer[:count]).strip(b"\r\n")
            if rubbish:
                self._counts["garbage"] += len(rubbish)
            del self._buffer[:count]


class _Chunks:
    """Undoes the transfer encoding that the boards' web server puts around everything."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0  # bytes of the present chunk, with the line end behind it

    def feed(self, received: bytes) -> bytes:
        self._buffer += received
        body = bytearray()
        while self._buffer:
            if self._left == 0:
                end = self._buffer.find(b"\r\n")
                if end < 0 and len(self._buffer) <= MAX_CHUNK_LINE_BYTES:
                    break
                self._left = _chunk_length(bytes(self._buffer[: max(end, 0)])) + 2
                del self._buffer[: end + 2]
                continue
            taken = bytes(self._buffer[: self._left])
            body += taken[: max(0, self._left - 2)]
            self._left -= len(taken)
            del self._buffer[: len(taken)]
        return bytes(body)


def _chunk_length(line: bytes) -> int:
    match = re.fullmatch(rb"([0-9a-fA-F]{1,8}) *(;.*)?", line)
    if match is None:
        raise DeviceLost("its answer is no HTTP")
    if int(match[1], 16) == 0:
        raise DeviceLost("it ended the stream")
    return int(match[1], 16)


def _part_header(text: str) -> tuple[int | None, int | None] | None:
    """Length and stamp that a part's header tells; None when it is malformed."""
    headers = _headers(text.partition("\r\n")[2])
    length, stamp = headers.get("content-length"), headers.get("x-timestamp", "")
    if length is not None and not (
        length.isdecimal() and len(length) < 10 and 0 < int(length) <= MAX_JPEG_BYTES
    ):
        return None
    match = re.fullmatch(r"(\d{1,10})\.(\d{6})", stamp)
    device_ns = int(match[1]) * 10**9 + int(match[2]) * 1000 if match else None
    return (None if length is None else int(length)), device_ns


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n") if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
