"""The times of a replayed recording: as they were recorded, or moved to the present.

Two clocks matter. The sender's is in every message (`capture_time_ns`, `publish_time_ns`, and
`timestamp` in the seconds that clients see); the recorder's stamped the arrivals and sets the pace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeGuard

from streaming.clock import NS_PER_S, PublishingClock, monotonic_ns
from streaming.recordings.reader import RecordedMessage
from streaming.wire import MAX_TIME_NS, MessageError, pack, unpack_fields

TIME_KEYS = ("capture_time_ns", "publish_time_ns")


@dataclass(frozen=True)
class Origin:
    """The sender's clocks at the moment when the recording's first message arrived."""

    time_ns: int  # what `publish_time_ns` would have been then
    timestamp_s: float  # what the control socket's `t` would have answered then


def find_origin(messages: Iterable[RecordedMessage]) -> Origin | None:
    """Read the clocks off the first message that was stamped; None when none was.

    The way from the sender to the recorder counts as zero: it is not known.
    """
    first_ns: int | None = None
    for message in messages:
        first_ns = message.arrival_time_ns if first_ns is None else first_ns
        fields = _fields(message.parts)
        timestamp_s, capture_ns = fields.get("timestamp"), fields.get("capture_time_ns")
        sent_ns = fields.get("publish_time_ns", capture_ns)
        if isinstance(timestamp_s, float) and _is_time(capture_ns) and _is_time(sent_ns):
            began_ns = sent_ns - (message.arrival_time_ns - first_ns)
            return Origin(began_ns, timestamp_s + (began_ns - capture_ns) / NS_PER_S)
    return None


class RecordedClock(PublishingClock):
    """Shows the recorded seconds while a recording plays; stands still until it begins.

    It cannot be set: the messages keep the stamps that they have.
    """

    def __init__(self, origin: Origin | None, speed: float = 1.0) -> None:
        """`speed` is recorded seconds per second."""
        super().__init__()
        self._began_s = origin.timestamp_s if origin else 0.0
        self._speed = speed
        self._start_ns: int | None = None

    def begin(self, start_ns: int) -> None:
        """The recording's first message goes out at `start_ns` of our monotonic clock."""
        self._start_ns = start_ns

    def seconds_at(self, time_ns: int) -> float:
        """Recorded seconds when our monotonic clock reads `time_ns`."""
        played_ns = 0 if self._start_ns is None else time_ns - self._start_ns
        return self._began_s + played_ns * self._speed / NS_PER_S

    def set_s(self, seconds: float) -> None:
        """Refuse with ValueError."""
        raise ValueError("A recording keeps its own clock.")


class PresentTimes:
    """Moves a recording's times to the present: what was 30 ms old when it came is so again."""

    def __init__(self, origin: Origin | None, speed: float, clock: PublishingClock) -> None:
        """`clock` gives the `timestamp` that clients see."""
        self._origin_ns = origin.time_ns if origin else 0
        self._speed = speed
        self._clock = clock
        self._start_ns = monotonic_ns()

    def begin(self, start_ns: int) -> None:
        """The recording's first message goes out at `start_ns` of our monotonic clock."""
        self._start_ns = start_ns

    def moved(self, parts: tuple[bytes, ...]) -> list[bytes]:
        """The same message, stamped anew; one without times, or malformed, stays as it is.

        All times move by one rule, so that messages of one frame still carry the same capture
        time: sender's time t becomes start + (t − origin) / speed.
        """
        fields = _fields(parts)
        if not any(_is_time(fields.get(key)) for key in TIME_KEYS):
            return list(parts)
        for key in TIME_KEYS:
            if _is_time(fields.get(key)):
                fields[key] = self._now(fields[key])
        if isinstance(fields.get("timestamp"), float) and "capture_time_ns" in fields:
            fields["timestamp"] = self._clock.seconds_at(fields["capture_time_ns"])
        try:
            return [*pack(parts[0].decode(), fields), *parts[2:]]
        except (MessageError, UnicodeDecodeError):
            return list(parts)

    def _now(self, time_ns: int) -> int:
        moved_ns = self._start_ns + round((time_ns - self._origin_ns) / self._speed)
        return min(max(moved_ns, 0), MAX_TIME_NS)


def _fields(parts: tuple[bytes, ...]) -> dict[str, Any]:
    try:
        return unpack_fields("a recorded message", parts[1]) if len(parts) > 1 else {}
    except MessageError:
        return {}


def _is_time(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= MAX_TIME_NS
