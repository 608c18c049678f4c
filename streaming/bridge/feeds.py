"""What the bridge's viewers share: one subscription for each topic that somebody looks at."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np

from streaming.clock import NS_PER_S, monotonic_ns
from streaming.face_message import FaceState
from streaming.frame_message import FrameMessage
from streaming.heard_pause import HeardPause
from streaming.security.keys import ClientKeys
from streaming.subscriber import Arrival, Subscriber

WORDS = "notify.unvisor."
TAKE_S = 0.2  # how soon a feed that nobody watches any more ends


@dataclass(frozen=True)
class News:
    """The newest message of one feed."""

    sequence: int  # counts within the feed, from 1; 0 before the first
    arrival: Arrival | None


class Feed:
    """One topic's newest message, read by a thread while anyone watches."""

    def __init__(
        self,
        endpoint: str,
        topic: str,
        arrived: threading.Condition,
        pause: HeardPause,
        keys: ClientKeys | None,
    ) -> None:
        """Subscribe; `arrived` is notified and `pause` told of every message.

        Raises `AddressMalformed`.
        """
        self._subscriber = Subscriber(endpoint, [topic], keys)
        self._topic = topic
        self._arrived, self._pause = arrived, pause
        self._stopping = threading.Event()
        self.news = News(0, None)
        self._thread = threading.Thread(target=self._pump, name=f"feed {topic}", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why the publisher does not let us in, if so."""
        return str(self._subscriber.trouble) if self._subscriber.trouble else None

    def close(self) -> None:
        """Unsubscribe."""
        self._stopping.set()
        self._thread.join()
        self._subscriber.close()

    def _pump(self) -> None:
        while not self._stopping.is_set():
            arrival = self._subscriber.take(self._topic, TAKE_S)
            if arrival is not None:
                with self._arrived:
                    self._pause.hear(arrival.message, arrival.arrival_time_ns)
                    self.news = News(self.news.sequence + 1, arrival)
                    self._arrived.notify_all()


class Feeds:
    """Opens a feed for its first viewer, closes it after its last: what is unwatched costs none."""

    def __init__(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        """Remember the publisher; nothing is subscribed to yet."""
        self.arrived = threading.Condition()
        self.pause = HeardPause()
        self._endpoint = endpoint
        self._keys = keys
        self._open: dict[str, Feed] = {}
        self._viewers: dict[str, int] = {}
        self._door = threading.Lock()

    @contextmanager
    def watch(self, topics: Sequence[str]) -> Iterator[list[Feed]]:
        """Give the feeds of `topics` for as long as the block runs."""
        with self._door:
            for topic in topics:
                if topic not in self._open:
                    self._open[topic] = Feed(
                        self._endpoint, topic, self.arrived, self.pause, self._keys
                    )
                self._viewers[topic] = self._viewers.get(topic, 0) + 1
            feeds = [self._open[topic] for topic in topics]
        try:
            yield feeds
        finally:
            with self._door:
                for topic in topics:
                    self._viewers[topic] -= 1
                    if not self._viewers[topic]:
                        self._open.pop(topic).close()


class View:
    """What one viewer has seen of an image, the face and the publisher's words."""

    def __init__(self, feeds: Feeds, image: Feed, face: Feed, words: Feed) -> None:
        """Start with nothing seen."""
        self._arrived, self._pause = feeds.arrived, feeds.pause
        self._feeds = (image, face, words)
        self._seen = [0, 0, 0]

    def next_message(self, timeout_s: float) -> bytes:
        """Wait for news and return them; after the timeout a message without a picture.

        A message is a 4-byte big-endian length, that much JSON, then the JPEG that it announces.
        """
        with self._arrived:
            self._arrived.wait_for(self._has_news, timeout_s)
            image, face, words = (feed.news for feed in self._feeds)
        facts: dict[str, object] = {"frame": None, "face": None, "paused": self._pause.is_on}
        jpeg = b""
        if image.arrival is not None and image.sequence != self._seen[0]:
            assert isinstance(image.arrival.message, FrameMessage)
            jpeg = image.arrival.message.pixels
            facts["frame"] = _frame_facts(image.arrival.message)
        elif (trouble := self._feeds[0].trouble) is not None:
            facts["error"] = trouble
        if face.arrival is not None and face.sequence != self._seen[1]:
            facts["face"] = _face_facts(face.arrival)
        self._seen = [image.sequence, face.sequence, words.sequence]
        header = json.dumps(facts).encode()
        return struct.pack(">I", len(header)) + header + jpeg

    def _has_news(self) -> bool:
        return any(
            feed.news.sequence != seen for feed, seen in zip(self._feeds, self._seen, strict=True)
        )


def _frame_facts(frame: FrameMessage) -> dict[str, object]:
    return {
        "topic": frame.topic,
        "width": frame.width,
        "height": frame.height,
        "index": frame.index,
        "timestamp": frame.timestamp,
        "age_ms": _age_ms(frame.capture_time_ns),
        "status": [status.value for status in frame.status],
        "filler": frame.filler,
        "synthesised": frame.synthesised,
    }


def _face_facts(arrival: Arrival) -> dict[str, object]:
    state = arrival.message
    assert isinstance(state, FaceState)
    facts = asdict(state)
    for key in ("capture_time_ns", "publish_time_ns"):
        del facts[key]  # JavaScript's numbers have 53 bits
    facts["status"] = [status.value for status in state.status]
    facts["age_ms"] = _age_ms(state.capture_time_ns)
    for key, value in facts.items():
        if isinstance(value, np.ndarray):
            facts[key] = np.round(value.astype(np.float64), 4).ravel().tolist()
    return facts


def _age_ms(capture_time_ns: int) -> float:
    return round((monotonic_ns() - capture_time_ns) * 1e3 / NS_PER_S, 3)
