"""The envelope of every message: `topic | msgpack map | raw bytes`, as Pupil Labs' network does it.

Whatever arrives is hostile until read: a `FieldReader` hands out one checked field at a time and
raises `MessageError`, and only that, for anything which is not as agreed.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence

import msgpack
import numpy as np

from streaming.records import Float32Array, Status

MAX_TOPIC_BYTES = 128
MAX_FIELDS_BYTES = 128 * 1024  # 478 landmarks as float64 are 13 kB
MAX_TIME_NS = 2**63 - 1
MAX_STATUSES = 32
STATUS_NAME = re.compile("[A-Z][A-Z0-9_]{0,31}")  # it is shown in terminals and pages as it came
MAX_ABS_NUMBER = 1e9  # far outside any pixel or angle, well inside float32


class MessageError(ValueError):
    """A message that does not keep to the schema; the text says which part and why."""


def pack(topic: str, fields: Mapping[str, object], raw: bytes | None = None) -> list[bytes]:
    """Return the parts to send; `fields` gets the topic added, as Pupil's clients expect."""
    try:
        name = topic.encode()
        packed = msgpack.packb({"topic": topic, **fields}, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageError(f"Message {topic!r} cannot be packed: {error}.") from error
    if len(name) > MAX_TOPIC_BYTES or len(packed) > MAX_FIELDS_BYTES:
        raise MessageError(f"Message {topic[:MAX_TOPIC_BYTES]!r} is too large for its receivers.")
    parts = [name, packed]
    return parts if raw is None else [*parts, raw]


def unpack_topic(part: bytes) -> str:
    """Read the first part of a message."""
    if len(part) > MAX_TOPIC_BYTES:
        raise MessageError(f"The topic is {len(part)} bytes long; at most {MAX_TOPIC_BYTES} fit.")
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"The topic, {len(part)} bytes, is not UTF-8 text.") from error


def unpack_fields(topic: str, part: bytes) -> dict[str, object]:
    """Read the second part of a message: a map with text keys."""
    if len(part) > MAX_FIELDS_BYTES:
        raise MessageError(
            f"The map of {topic!r} is {len(part)} bytes long; at most {MAX_FIELDS_BYTES} fit."
        )
    try:
        fields = msgpack.unpackb(part, raw=False, strict_map_key=True)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise MessageError(f"The second part of {topic!r} is not msgpack: {error}.") from error
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise MessageError(f"The second part of {topic!r} is not a map with text keys.")
    return fields


def flat(name: str, array: Float32Array, shape: tuple[int, ...]) -> list[float]:
    """Return `array` as a flat list for the wire; -1 in `shape` allows any length."""
    fits = array.ndim == len(shape) and all(
        want in (-1, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise MessageError(f"{name} has shape {array.shape}, not {shape}.")
    if array.size and not bool(np.all(np.abs(array) <= MAX_ABS_NUMBER)):  # False for NaN too
        raise MessageError(f"{name} holds numbers that are not finite or beyond any pixel.")
    numbers: list[float] = array.astype(np.float64).ravel().tolist()
    return numbers


class FieldReader:
    """Reads checked fields out of one unpacked map."""

    def __init__(self, topic: str, fields: Mapping[str, object]) -> None:
        """`topic` is named in every error."""
        self.topic = topic
        self._fields = fields

    def text(self, key: str, choices: Sequence[str] | None = None) -> str:
        """Text of at most 128 characters; one of `choices` when given."""
        value = self._fields.get(key)
        if not isinstance(value, str) or len(value) > MAX_TOPIC_BYTES:
            raise self._error(key, "a short text", value)
        if choices is not None and value not in choices:
            raise self._error(key, f"one of {', '.join(choices)}", value)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Whole number in [low, high]; a truth value is not a number."""
        value = self._fields.get(key)
        if type(value) is not int or not low <= value <= high:
            raise self._error(key, f"a whole number in {low}..{high}", value)
        return value

    def time_ns(self, key: str) -> int:
        """Non-negative nanoseconds that fit 63 bits."""
        return self.integer(key, 0, MAX_TIME_NS)

    def number(self, key: str, low: float = -MAX_ABS_NUMBER, high: float = MAX_ABS_NUMBER) -> float:
        """Finite number in [low, high]."""
        value = self._fields.get(key)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not low <= value <= high
        ):
            raise self._error(key, f"a number in {low:g}..{high:g}", value)
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """Finite number, or None where the key is missing or nil."""
        return None if self._fields.get(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._fields.get(key)
        if not isinstance(value, bool):
            raise self._error(key, "true or false", value)
        return value

    def array(self, key: str, shape: tuple[int, ...]) -> Float32Array:
        """Flat list of finite numbers as float32 of `shape`; a leading -1 takes any length."""
        value = self._fields.get(key)
        wanted = math.prod(shape)
        if not isinstance(value, list) or not (
            len(value) % -wanted == 0 if wanted < 0 else len(value) == wanted
        ):
            raise self._error(key, f"a flat list for shape {shape}", value)
        if not all(
            type(item) in (int, float) and -MAX_ABS_NUMBER <= item <= MAX_ABS_NUMBER
            for item in value
        ):
            raise self._error(key, "a list of finite numbers", value)
        return np.array(value, dtype=np.float32).reshape(shape)

    def statuses(self, key: str) -> tuple[Status, ...]:
        """List of status names; those of later versions are taken as they are."""
        value = self._fields.get(key)
        if (
            not isinstance(value, list)
            or len(value) > MAX_STATUSES
            or not all(isinstance(name, str) and STATUS_NAME.fullmatch(name) for name in value)
        ):
            raise self._error(key, "a list of status names", value)
        return tuple(map(Status.named, value))

    def is_nil(self, key: str) -> bool:
        """Whether the value is nil or missing."""
        return self._fields.get(key) is None

    def optional_map(self, key: str) -> FieldReader | None:
        """Reader of a nested map, or None where the value is nil."""
        value = self._fields.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._error(key, "a map or nil", value)
        return FieldReader(f"{self.topic}.{key}", value)

    def optional_times_ns(self, key: str, count: int) -> tuple[int | None, ...]:
        """List of `count` nanosecond values, each of which may be nil."""
        value = self._fields.get(key)
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(
                item is None or (type(item) is int and abs(item) <= MAX_TIME_NS) for item in value
            )
        ):
            raise self._error(key, f"a list of {count} nanosecond counts or nil", value)
        return tuple(value)

    def _error(self, key: str, wanted: str, value: object) -> MessageError:
        return MessageError(
            f"Field {key!r} of {self.topic!r} must be {wanted}, not {_described(value)}."
        )


def _described(value: object) -> str:
    """Say what a value is; how a face looks must not get into a log with it."""
    if isinstance(value, list | dict | bytes):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, float):
        return "another number"
    return reprlib.repr(value)
