"""Which format each `frame.*` topic carries: who asked first keeps what it asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streaming.messages import Notification, Sender
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
    asker: Sender | None  # None = unknown

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
    asker: Sender | None
    asked_s: float
    is_used: bool = False  # somebody subscribed to the topic since

    def is_of(self, asker: Sender | None) -> bool:
        return (
            asker is not None
            and self.asker is not None
            and asker.connection == self.asker.connection
        )


class TopicFormats:
    """Formats of the `frame.*` topics; safe between threads.

    A client gets the format that it asks for on every topic, but on those for which another one
    asked and that had subscribers before this client appeared: it cannot change what others see.
    What was asked for holds until nobody subscribes to the topic any more.
    """

    def __init__(
        self,
        default: str,
        wanted_since_s: Callable[[str], float | None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wanted_since_s` says when the first subscriber of a topic came, None without any."""
        if default not in STOCK_FORMATS:
            raise ValueError(f"{default!r} is not one of {', '.join(STOCK_FORMATS)}.")
        self._default = default
        self._wanted_since_s = wanted_since_s
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
                if not self._is_held(topic, request.asker):
                    asked = _Claim(request.image_format, request.asker, self._now_s())
                    self._claims[topic] = asked
            return tuple(
                topic
                for topic in request.topics
                if self._claims[topic].image_format == request.image_format
            )

    def _is_held(self, topic: str, asker: Sender | None) -> bool:
        """Whether another client asked for the format of `topic` and somebody uses it.

        Pupil's clients ask where to subscribe before they do, so whoever subscribed before the
        asker was first heard of is another client.
        """
        claim, since_s = self._claims.get(topic), self._wanted_since_s(topic)
        if claim is None or claim.is_of(asker) or since_s is None:
            return False
        return asker is None or since_s < asker.since_s

    def _release(self, topics: Iterable[str]) -> None:
        for topic in topics:
            claim = self._claims.get(topic)
            if claim is None:
                continue
            if self._wanted_since_s(topic) is not None:
                claim.is_used = True
            elif claim.is_used or self._now_s() - claim.asked_s > UNUSED_S:
                del self._claims[topic]
