"""Tells clients when the person in view turns out to be another, and when the owner is back."""

from __future__ import annotations

from typing import Protocol

from edge.identity.person_check import PersonCheck
from edge.records import FaceTrack
from streaming.messages import Notification
from streaming.records import Frame

WRONG_PERSON, RIGHT_PERSON = "unvisor.wrong_person", "unvisor.right_person"


class Announcer(Protocol):
    """What is needed of `streaming.publisher.Publisher`."""

    def publish(self, notification: Notification) -> bool:
        """Send a notification to whoever subscribed."""
        ...


class WrongPersonNews:
    """A check that announces its changes of mind."""

    def __init__(self, check: PersonCheck, announcer: Announcer) -> None:
        """Announce what `check` finds."""
        self._check, self._announcer = check, announcer

    @property
    def note(self) -> str:
        """The check's own."""
        return self._check.note

    @property
    def is_wrong(self) -> bool:
        """The check's own."""
        return self._check.is_wrong

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        """Let the check look; tell clients what changed."""
        before = self._check.is_wrong
        self._check.watch(frame, track)
        if self._check.is_wrong == before:
            return
        subject = RIGHT_PERSON if before else WRONG_PERSON
        self._announcer.publish(Notification(subject, {"detail": self._check.note}))
