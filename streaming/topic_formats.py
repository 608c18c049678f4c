"""Which format each `frame.*` topic carries: who asked first keeps what it asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streaming.messages import Notification
from streaming.topics import FRAMES, STOCK_FORMATS

SET_FORMAT, STARTED = "frame_publishing.set_format", "frame_publishing.started"
UNUSED_S = 3.0  # a client that asked for a topic and did not subscribe by then does not want it


class FormatRequestError(ValueError):
    """A request for a format that does not exist, or for topics that have none."""


@dataclass(frozen=True)
class FormatRequest:
    """What one `frame_publishing.set_format` asks for."""

    image_format: str  # one of `STOCK_FORMATS`
    topics: tuple[str, ...]  # of `FRAMES`; all of them when the client named none
    asker: str  # the control connection; empty = unknown, nobody else's

    @classmethod
    def read(cls, notification: Notification) -> FormatRequest | None:
        """Read a request; None for other notifications, `FormatRequestError` for a wrong one.

        Pupil's older scripts start the plugin `Frame_Publisher` instead: the same request.
        """
        fields = notification.fields
        if notification.subject == "start_plugin" and fields.get("name") == "Frame_Publisher":
            arguments = fields.get("args")
            fields = arguments if isinstance(arguments, dict) else {"format": STOCK_FORMATS[0]}
        elif notification.subject != SET_FORMAT:
            return None
        image_format, topics = fields.get("format"), fields.get("topics", list(FRAMES))
        if not isinstance(image_format, str) or image_format not in STOCK_FORMATS:
            raise FormatRequestError(
                f"{str(image_format)[:40]!r} is no format of frame.*: {', '.join(STOCK_FORMATS)}."
            )
        if not isinstance(topics, list) or not all(topic in FRAMES for topic in topics):
            raise FormatRequestError(f"`topics` must be a list out of {', '.join(FRAMES)}.")
        return cls(image_format, tuple(topics), notification.sender)


@dataclass
class _Claim:
    image_format: str
    asker: str
    asked_s: float
    is_used: bool = False  # somebody subscribed to the topic since


class TopicFormats:
    """Formats of the `frame.*` topics; safe between threads.

    A request takes every topic that no other client has asked for. It holds until nobody
    subscribes to the topic any more; then the topic has the default format again. So the second
    client never changes what the first one sees, and nothing is left behind by clients that left.
    """

    def __init__(
        self, default: str, is_wanted: Callable[[str], bool], now_s: Callable[[], float]
    ) -> None:
        """`is_wanted` says whether anybody subscribes to a topic; `now_s` is a monotonic clock."""
        if default not in STOCK_FORMATS:
            raise ValueError(f"{default!r} is not one of {', '.join(STOCK_FORMATS)}.")
        self._default = default
        self._is_wanted = is_wanted
        self._now_s = now_s
        self._claims: dict[str, _Claim] = {}
        self._lock = threading.Lock()

    def of(self, topic: str) -> str:
        """Format of one of `FRAMES` now."""
        with self._lock:
            claim = self._claims.get(topic)
            return claim.image_format if claim else self._default

    def refresh(self) -> None:
        """Notice who left; to be called once a frame."""
        with self._lock:
            self._release(tuple(self._claims))

    def grant(self, request: FormatRequest) -> tuple[str, ...]:
        """Give a client what it asks for; return its topics that now have the format."""
        with self._lock:
            self._release(request.topics)
            for topic in request.topics:
                claim = self._claims.get(topic)
                if claim is None or (request.asker and claim.asker == request.asker):
                    asked = _Claim(request.image_format, request.asker, self._now_s())
                    self._claims[topic] = asked
            return tuple(
                topic
                for topic in request.topics
                if self._claims[topic].image_format == request.image_format
            )

    def _release(self, topics: Iterable[str]) -> None:
        for topic in topics:
            claim = self._claims.get(topic)
            if claim is None:
                continue
            if self._is_wanted(topic):
                claim.is_used = True
            elif claim.is_used or self._now_s() - claim.asked_s > UNUSED_S:
                del self._claims[topic]


def topic_formats(default: str, is_wanted: Callable[[str], bool]) -> TopicFormats:
    """`TopicFormats` on the real clock."""
    return TopicFormats(default, is_wanted, time.monotonic)
