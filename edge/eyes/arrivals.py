"""Hands what the eye cameras' program sends to the fusion, at the cameras' own rate."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

from streaming.closing import Closing
from streaming.messages import Notification
from streaming.records import EyeObservation, EyeParameters
from streaming.subscriber import Subscriber
from streaming.topics import EYE_CAMERAS_NOTE, EYE_PARAMETERS, EYES

log = logging.getLogger(__name__)

TOPICS = (*EYES, *EYE_PARAMETERS, EYE_CAMERAS_NOTE)  # what the subscriber must be opened with
POLL_S = 0.2  # how soon `close` is noticed
NOTE_HOLDS_S = 3.0  # it is sent again every second

Observe = Callable[[EyeObservation | EyeParameters], None]


class EyeArrivals(Closing):
    """A thread per topic: the pipeline takes a frame at a time, and eyes come more often.

    Were they taken once per frame, all but the newest between two frames would be lost, and with
    them the instants between which the fusion interpolates.
    """

    def __init__(self, subscriber: Subscriber, observe: Observe) -> None:
        """Start; `subscriber` reads `TOPICS` and stays the caller's. `observe` is called here."""
        self._subscriber = subscriber
        self._observe = observe
        self._note = ""
        self._noted_s = 0.0
        self._logged: set[str] = set()  # of the trouble that lasts, without how long it does
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(topic,), name=topic, daemon=True)
            for topic in TOPICS
        ]
        for thread in self._threads:
            thread.start()

    @property
    def note(self) -> str:
        """What is wrong with the eye cameras now, in plain words; empty = nothing known."""
        return self._note if time.monotonic() - self._noted_s < NOTE_HOLDS_S else ""

    def close(self) -> None:
        """Stop handing over."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, topic: str) -> None:
        slot = self._subscriber.slots[topic]
        while not self._stopping.is_set():
            arrival = slot.take(POLL_S)
            if arrival is None:
                if slot.closed:
                    return
            elif isinstance(arrival.message, EyeObservation | EyeParameters):
                self._observe(arrival.message)
            elif isinstance(arrival.message, Notification):
                self._take_note(arrival.message.fields.get("detail"))

    def _take_note(self, detail: object) -> None:
        if not isinstance(detail, str):
            return
        kind = re.sub(r"[\d.]+", "", detail)
        if detail and kind not in self._logged:
            log.warning("eye cameras: %.300s", detail)
            self._logged.add(kind)
        elif not detail and self._logged:
            log.warning("eye cameras: all are back")
            self._logged.clear()
        self._note, self._noted_s = detail[:300], time.monotonic()
