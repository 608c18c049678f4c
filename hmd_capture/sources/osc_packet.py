"""Reading OSC datagrams strictly: python-osc fills in what is cut off, and logs the rest."""

from __future__ import annotations

import struct
from collections.abc import Iterator

BUNDLE = b"#bundle\x00"
MAX_DEPTH = 4  # of bundles in bundles
_NUMBERS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}
_CONSTANTS: dict[str, object] = {"T": True, "F": False, "N": None, "I": None}

Word = tuple[str, tuple[object, ...]]  # address, arguments


class BadPacket(ValueError):
    """A datagram that is no OSC."""


def read_packet(datagram: bytes, depth: int = 0) -> Iterator[Word]:
    """Yield the messages of one datagram; raises `BadPacket`, perhaps after the first ones."""
    if not datagram or len(datagram) % 4:
        raise BadPacket(f"{len(datagram)} bytes are no OSC packet")
    if not datagram.startswith(BUNDLE):
        yield _read_message(datagram)
        return
    if depth >= MAX_DEPTH:
        raise BadPacket("bundles are nested too deeply")
    at = len(BUNDLE) + 8  # its time is not asked for
    while at < len(datagram):
        length = int.from_bytes(datagram[at : at + 4], "big")
        end = at + 4 + length
        if end > len(datagram):
            raise BadPacket("a bundle is cut off")
        yield from read_packet(datagram[at + 4 : end], depth + 1)
        at = end


def _read_message(message: bytes) -> Word:
    address, at = _read_text(message, 0)
    tags, at = _read_text(message, at)
    if not address.startswith("/") or not tags.startswith(","):
        raise BadPacket(f"{address[:40]!r} is no OSC address, or has no type tags")
    arguments: list[object] = []
    for tag in tags[1:]:
        if tag in _CONSTANTS:
            arguments.append(_CONSTANTS[tag])
        elif tag in _NUMBERS:
            arguments += _unpacked(_NUMBERS[tag], message, at)
            at += struct.calcsize(_NUMBERS[tag])
        elif tag in "sS":
            text, at = _read_text(message, at)
            arguments.append(text)
        else:
            raise BadPacket(f"an argument of the type {tag!r}")
    if at != len(message):
        raise BadPacket("a message has more bytes than its type tags tell")
    return address, tuple(arguments)


def _read_text(message: bytes, at: int) -> tuple[str, int]:
    """Text, ended and filled up to four bytes with zeros, and where it ends."""
    end = message.find(b"\x00", at)
    if end < 0:
        raise BadPacket("a text does not end")
    try:
        return message[at:end].decode(), end + 4 - end % 4
    except UnicodeDecodeError as error:
        raise BadPacket("a text is not UTF-8") from error


def _unpacked(form: str, message: bytes, at: int) -> tuple[object, ...]:
    try:
        return struct.unpack_from(form, message, at)
    except struct.error as error:
        raise BadPacket("a message is cut off") from error
