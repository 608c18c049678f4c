"""Hostile messages for fuzzing: valid ones of every kind, bent as a tape of bytes says.

The tape comes from Hypothesis, which can then shrink it, or from a seeded generator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import msgpack
import numpy as np

from streaming.face_message import FaceState
from streaming.frame_message import FrameMessage, encode_pixels
from streaming.messages import EyeImage, Message, Notification, encode
from streaming.records import EyeObservation, Side, Status
from streaming.video.h264 import VideoEncoder

TAPE_BYTES = 48
STRANGE_VALUES: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63),
    2**64 - 1,
    0.0,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x" * 200,
    "\x00\ud7ff",
    b"",
    b"\xff" * 300,
    [],
    [0.0] * 5000,
    [[]] * 50,
    {},
    {"subject": {}},
    ["LIVE", 3],
    msgpack.Timestamp(1, 2),
    msgpack.ExtType(5, b"abc"),
)
STRANGE_COMMANDS = (b"SUB_PORT", b"PUB_PORT", b"v", b"t", b"T ", b"T", b"R", b"r", b"C", b"c", b"")


class Tape:
    """Reads choices off bytes; zeros follow the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1] if self._at <= len(self._content) else 0

    def below(self, limit: int) -> int:
        return (self.byte() << 8 | self.byte()) % limit if limit > 0 else 0

    def rest(self) -> bytes:
        return self._content[self._at :]


@functools.cache
def valid_messages() -> tuple[tuple[bytes, ...], ...]:
    """One message of every kind, encoded."""
    image = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8)
    eye = EyeObservation(
        Side.LEFT,
        5,
        np.ones((2, 9, 2), np.float32),
        np.ones(5, np.float32),
        np.ones(5, np.float32),
        0.5,
        0.5,
    )
    state = FaceState(
        7,
        1.0,
        5,
        6,
        np.ones((478, 3), np.float32),
        np.zeros((2, 2), np.float32),
        np.ones(2, np.float32),
        (4, None),
        np.eye(2, 3, dtype=np.float32),
        (Status.LIVE,),
        "unvisor",
        "oracle",
        True,
    )
    messages: list[Message] = [
        eye,
        state,
        EyeImage(Side.RIGHT, 3, 5, grey, eye),
        Notification("frame_publishing.set_format", {"format": "bgr"}),
        Notification("unvisor.pause"),
    ]
    for name in ("jpeg", "bgr", "gray"):
        pixels = encode_pixels(image, name, 90)
        fields = (32, 24, 3, 1.0, name, 5, 6, (Status.LIVE,), "unvisor", "oracle", True, pixels)
        messages.append(FrameMessage("frame.world", *fields))
    video = VideoEncoder((24, 32), "libx264")
    for _ in range(2):  # a key picture and one that needs it
        unit = video.encode(image)
        fields = (32, 24, 3, 1.0, "h264", 5, 6, (Status.LIVE,), "unvisor", "oracle", True)
        last = (unit.data, unit.number, unit.is_key)
        messages.append(FrameMessage("h264.world", *fields, *last))
    return tuple(tuple(encode(message)) for message in messages)


def hostile_message(tape: Tape) -> list[bytes]:
    """Return the parts of a message that may be valid, almost valid, or nothing of the kind."""
    messages = valid_messages()
    parts = list(messages[tape.below(len(messages))])
    for _ in range(tape.byte() % 4):
        mutate = MUTATIONS[tape.byte() % len(MUTATIONS)]
        parts = mutate(parts, tape)
    return parts


def hostile_question(tape: Tape) -> list[bytes]:
    """Return a message, or a command that may be known, for the control socket."""
    if tape.byte() % 3:
        return hostile_message(tape) or [b""]
    return [STRANGE_COMMANDS[tape.below(len(STRANGE_COMMANDS))] + tape.rest()[: tape.byte() % 24]]


def _flip(parts: list[bytes], tape: Tape) -> list[bytes]:
    return _bent(parts, tape, lambda part: _overwritten(part, tape))


def _cut(parts: list[bytes], tape: Tape) -> list[bytes]:
    return _bent(parts, tape, lambda part: part[: tape.below(len(part))])


def _insert(parts: list[bytes], tape: Tape) -> list[bytes]:
    def grown(part: bytes) -> bytes:
        at = tape.below(len(part) + 1)
        return part[:at] + tape.rest()[: tape.byte() % 16] + part[at:]

    return _bent(parts, tape, grown)


def _replace_field(parts: list[bytes], tape: Tape) -> list[bytes]:
    """Give a field of the map, or of a map in it, a strange value; or add or remove one."""
    if len(parts) < 2:
        return parts
    try:
        fields = msgpack.unpackb(parts[1], strict_map_key=False)
    except Exception:  # bent already
        return parts
    if not isinstance(fields, dict) or not fields:
        return parts
    key = list(fields)[tape.below(len(fields))]
    if isinstance(fields[key], dict) and fields[key] and tape.byte() % 2:
        fields, inner = fields[key], None
        inner = list(fields)[tape.below(len(fields))]
        fields[inner] = STRANGE_VALUES[tape.below(len(STRANGE_VALUES))]
    elif tape.byte() % 8 == 0:
        del fields[key]
    else:
        fields[key] = STRANGE_VALUES[tape.below(len(STRANGE_VALUES))]
    return [parts[0], msgpack.packb(fields), *parts[2:]]


def _reshape(parts: list[bytes], tape: Tape) -> list[bytes]:
    """Repeat, drop or exchange parts."""
    choice = tape.byte() % 5
    if choice == 0:
        return parts[:-1]
    if choice == 1:
        return [*parts, tape.rest()]
    if choice == 2:
        return parts[::-1]
    if choice == 3:
        return parts * (1 + tape.byte() % 20)
    return [tape.rest()]


def _bent(parts: list[bytes], tape: Tape, bend: Callable[[bytes], bytes]) -> list[bytes]:
    if not parts:
        return parts
    at = tape.below(len(parts))
    return [*parts[:at], bend(parts[at]), *parts[at + 1 :]]


def _overwritten(part: bytes, tape: Tape) -> bytes:
    bent = bytearray(part)
    for _ in range(1 + tape.byte() % 8):
        if bent:
            bent[tape.below(len(bent))] = tape.byte()
    return bytes(bent)


MUTATIONS = (_flip, _cut, _insert, _replace_field, _replace_field, _reshape)
