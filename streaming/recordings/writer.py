"""Writes recordings so that what was written stays readable, whatever happens next."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgpack

from streaming.clock import monotonic_ns
from streaming.closing import Closing
from streaming.errors import UserError
from streaming.recordings.reader import (
    END,
    HEADER,
    MAGIC,
    MAX_BODY_BYTES,
    MAX_PARTS,
    MESSAGE,
    SIZE,
    STAMP,
    VERSION,
    VERSION_FIELD,
    envelope,
)

SYNC_S = 1.0  # a power cut costs no more than this; `kill -9` costs nothing that was written


class RecordingFailed(UserError):
    """The disk took no more. What was written before is kept and readable."""


class RecordingWriter(Closing):
    """One recording being written. Every message is in the file when `add` returns.

    The file is its owner's alone (mode 0600): it shows a face.
    """

    def __init__(
        self,
        path: Path,
        endpoint: str = "",
        topics: Sequence[str] = (),
        overwrite: bool = False,
    ) -> None:
        """Create the file; raises `RecordingFailed`, also when it exists and may not go.

        With `overwrite` an older file stays until the first message: without one nothing changes.
        """
        self.path = path
        self._draft = _draft_of(path) if overwrite else None
        self.messages = 0
        self.bytes = 0  # of complete records, which is where the file ends
        self._synced_s = time.monotonic()
        self._file = _create(self._draft or path, path, overwrite)
        fields = {
            "endpoint": endpoint,
            "topics": list(topics),
            "started_unix_s": time.time(),
            "started_time_ns": monotonic_ns(),
        }
        try:
            self._append([MAGIC + VERSION_FIELD.pack(VERSION), *_record(HEADER, fields)])
        except RecordingFailed:
            (self._draft or path).unlink(missing_ok=True)  # of no use without its header
            self._abandon()
            raise

    def add(self, arrival_time_ns: int, parts: Sequence[bytes]) -> None:
        """Append one multipart message; raises `RecordingFailed` when the disk takes no more.

        `arrival_time_ns` is this machine's monotonic clock. Raises ValueError for a message
        of no parts, of more than 16, or beyond 256 MiB.
        """
        size = STAMP.size + sum(SIZE.size + len(part) for part in parts)
        if not 1 <= len(parts) <= MAX_PARTS or size > MAX_BODY_BYTES:
            raise ValueError(f"A message of {len(parts)} parts and {size} bytes cannot be kept.")
        lengths = b"".join(SIZE.pack(len(part)) for part in parts)
        head = STAMP.pack(MESSAGE, arrival_time_ns, len(parts)) + lengths
        self._append([envelope(head, *parts), head, *parts])
        if self._draft is not None:
            self._draft.replace(os.path.realpath(self.path))  # a symbolic link stays
            self._draft = None
        self.messages += 1

    def close(self, dropped: int = 0) -> None:
        """Write the end record, with how many messages the recorder had to leave out."""
        if self._file < 0:
            return
        try:
            self._append(_record(END, {"messages": self.messages, "dropped": dropped}))
        finally:
            self._abandon()

    def _append(self, pieces: Sequence[bytes]) -> None:
        """Write a whole record or nothing."""
        try:
            self._write(b"".join(pieces))
            if time.monotonic() - self._synced_s >= SYNC_S:
                os.fsync(self._file)
                self._synced_s = time.monotonic()
        except OSError as error:
            self._cut_back()
            raise RecordingFailed(
                f"{self.path} cannot grow beyond {self.messages} messages "
                f"({self.bytes / 1e6:.1f} MB): {error.strerror}.",
                "What was recorded so far is kept; free some space before the next recording.",
            ) from error

    def _write(self, record: bytes) -> None:
        left = memoryview(record)
        while left:
            left = left[os.write(self._file, left) :]
        self.bytes += len(record)

    def _cut_back(self) -> None:
        """Take the torn record away: the next program to read the file need not wonder."""
        try:
            os.ftruncate(self._file, self.bytes)
            os.lseek(self._file, self.bytes, os.SEEK_SET)
        except OSError:
            pass  # readers stop at the torn record anyway

    def _abandon(self) -> None:
        file, self._file = self._file, -1
        os.close(file)
        if self._draft is not None:
            self._draft.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path | None:
    """Where to write what will replace `path`; None = into it, such as /dev/null."""
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        return None
    return place.with_name(f".{place.name}.{os.getpid()}.draft")


def _create(place: Path, path: Path, overwrite: bool) -> int:
    """Open `place` for the recording `path`."""
    fresh = os.O_TRUNC if overwrite else os.O_EXCL
    flags = os.O_WRONLY | os.O_CREAT | fresh | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(place, flags, 0o600)
    except FileExistsError as error:
        raise RecordingFailed(
            f"{path} exists already.", "Choose another name, or add --overwrite."
        ) from error
    except OSError as error:
        raise RecordingFailed(
            f"Cannot write {path}: {error.strerror}.", "Name a file in a folder that exists."
        ) from error
    if place.is_file():  # not a device; an older draft would keep its mode otherwise
        os.chmod(place, 0o600)
    return file


def _record(kind: int, fields: Mapping[str, object]) -> list[bytes]:
    body = bytes([kind]) + msgpack.packb(fields, use_bin_type=True)
    return [envelope(body), body]
