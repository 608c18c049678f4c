"""The loop of the program beside the headset: newest eye image in, observation out."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from hmd_capture.eye_source import EyeReader, EyeSource
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.records import EyeParameters
from streaming.spans import SpanRecorder
from streaming.topics import EYE_CAMERAS_NOTE, NOTIFY

LOGGER = logging.getLogger(__name__)
POLL_S = 0.05  # how soon a stop is noticed; images wake the loop at once
STATUS_INTERVAL_S = 5.0
NOTE_INTERVAL_S = 1.0  # also for who subscribes later


@dataclass
class Counts:
    """What the loop has done so far, in images."""

    taken: int = 0
    published: int = 0  # to at least one subscriber
    unread: int = 0  # images without a usable eye


class Parent:
    """The process that started this one; it may vanish without a word."""

    def __init__(self) -> None:
        """Remember who it is."""
        self._pid = os.getppid()

    @property
    def is_gone(self) -> bool:
        """Whether it ended: the system then gives this process another parent."""
        return os.getppid() != self._pid


class NoteTeller:
    """Tells subscribers and the log what is wrong with the eye cameras, in plain words."""

    def __init__(self, publisher: Publisher) -> None:
        """Publishes `notify.unvisor.eye_cameras` there."""
        self._publisher = publisher
        self._due_s = 0.0
        self._sources: list[str] = []  # those in trouble, without how long

    def tell(self, troubles: Sequence[str]) -> None:
        """Publish once a second; log when a trouble begins or all are over."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + NOTE_INTERVAL_S
        detail = "; ".join(troubles)
        subject = EYE_CAMERAS_NOTE.removeprefix(NOTIFY)
        self._publisher.publish(Notification(subject, {"detail": detail}))
        sources = [re.split(r" (?:is silent|has given) ", trouble)[0] for trouble in troubles]
        if sources != self._sources:
            LOGGER.warning("%s", detail or "All eye cameras are back.")
        self._sources = sources


def run(
    source: EyeSource,
    reader: EyeReader,
    publisher: Publisher,
    stopping: threading.Event,
    parent: Parent | None = None,
    spans: SpanRecorder | None = None,
) -> Counts:
    """Publish what the eye cameras show until `stopping` is set or `parent` has ended.

    `spans` keeps when each image was read and published.
    """
    counts = Counts()
    teller = NoteTeller(publisher)
    status_due_s = time.monotonic() + STATUS_INTERVAL_S
    while not stopping.is_set():
        if parent is not None and parent.is_gone:
            LOGGER.warning("The program that started this one has ended; stopping.")
            break
        for image in source.take(POLL_S):
            counts.taken += 1
            with nullcontext() if spans is None else spans.measure("read eye"):
                observation = image if isinstance(image, EyeParameters) else reader.read(image)
            if observation is None:
                counts.unread += 1
                continue
            with nullcontext() if spans is None else spans.measure("publish eye"):
                counts.published += publisher.publish(observation)
        teller.tell([*source.troubles(), *filter(None, [reader.note])])
        if time.monotonic() >= status_due_s:
            status_due_s = time.monotonic() + STATUS_INTERVAL_S
            LOGGER.info("Eye images: %s", counts)
    return counts
