"""The loop of the program beside the headset: newest eye image in, observation out."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass

from hmd_capture.eye_source import EyeReader, EyeSource
from streaming.publisher import Publisher

LOGGER = logging.getLogger(__name__)
POLL_S = 0.05  # how soon a stop is noticed; images wake the loop at once
STATUS_INTERVAL_S = 5.0


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


def run(
    source: EyeSource,
    reader: EyeReader,
    publisher: Publisher,
    stopping: threading.Event,
    parent: Parent | None = None,
) -> Counts:
    """Publish what the eye cameras show until `stopping` is set or `parent` has ended."""
    counts = Counts()
    status_due_s = time.monotonic() + STATUS_INTERVAL_S
    while not stopping.is_set():
        if parent is not None and parent.is_gone:
            LOGGER.warning("The program that started this one has ended; stopping.")
            break
        for image in source.take(POLL_S):
            counts.taken += 1
            observation = reader.read(image)
            if observation is None:
                counts.unread += 1
            else:
                counts.published += publisher.publish(observation)
        if time.monotonic() >= status_due_s:
            status_due_s = time.monotonic() + STATUS_INTERVAL_S
            LOGGER.info("Eye images: %s", counts)
    return counts
