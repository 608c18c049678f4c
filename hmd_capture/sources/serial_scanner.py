"""Finding images in the bytes of a serial line: FF A0 FF A1, a 16-bit length, a JPEG. No ports."""

from __future__ import annotations

from collections import Counter

from hmd_capture.sources.pictures import END, START

HEADER = b"\xff\xa0\xff\xa1"  # cannot occur inside a JPEG's pixels, where FF is escaped
PREFIX_BYTES = len(HEADER) + 2
MIN_JPEG_BYTES = 125  # the smallest there is


class SerialScanner:
    """Keeps what is not complete yet, at most one image's worth of bytes."""

    def __init__(self, counts: Counter[str]) -> None:
        """`counts` takes "garbage" in bytes, and "truncated" images."""
        self._counts = counts
        self._buffer = bytearray()
        self._since_ns: int | None = None  # when the header at the buffer's start had come

    def feed(self, received: bytes, time_ns: int) -> list[tuple[int, bytes]]:
        """Return the JPEGs that are complete now, each with the time at which it began to come."""
        self._buffer += received
        found: list[tuple[int, bytes]] = []
        while self._align():
            self._since_ns = self._since_ns or time_ns
            length = int.from_bytes(self._buffer[len(HEADER) : PREFIX_BYTES], "little")
            wanted = PREFIX_BYTES + length
            payload = bytes(self._buffer[PREFIX_BYTES:wanted])
            # Another header before this image is over: bytes were lost in between.
            cut = payload.find(HEADER)
            if cut >= 0 or length < MIN_JPEG_BYTES or not _may_begin(payload):
                self._reject(PREFIX_BYTES + max(cut, 0))
                continue
            if len(self._buffer) < wanted:
                break
            if not payload.rstrip(b"\x00").endswith(END):
                self._reject(PREFIX_BYTES)  # its length was wrong: the next header may be inside
                continue
            found.append((self._since_ns, payload))
            self._drop(wanted)
        return found

    def _align(self) -> bool:
        """Drop what lies before the next header; whether a whole one is there."""
        at = self._buffer.find(HEADER)
        if at < 0:
            keep = len(HEADER) - 1  # a header may be half here
            at = max(0, len(self._buffer) - keep)
        self._counts["garbage"] += at
        if at:
            self._drop(at)
        return len(self._buffer) >= PREFIX_BYTES

    def _reject(self, count: int) -> None:
        self._counts["truncated"] += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._since_ns = None


def _may_begin(payload: bytes) -> bool:
    return payload[:2] == START[: len(payload)]
