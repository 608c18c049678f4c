"""Watches frame by frame whether the person in view is the one of the profile."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np

from edge.identity.evidence import Evidence, Verdict
from edge.identity.face_print import IdentityPrint
from edge.identity.likeness import Fitted, evidence_of, fitted, look_at
from edge.identity.print_making import print_of_views
from edge.profile import SessionProfile
from edge.records import FaceTrack
from edge.settings import EdgeSettings
from models.face.alignment import head_box
from models.identity.reader import FacePrintReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from streaming.records import Float32Array, Frame

log = logging.getLogger(__name__)

# Between looks: soon at first, then now and then. A look costs about 4 ms of one core.
FIRST_NS, LATER_NS = 300_000_000, 1_000_000_000
LOST_NS = 1_000_000_000  # without a face for so long: another may come back
JUMP = 0.6  # of the head box's side between two frames: that is another head
WRONG_PERSON = (
    "this profile is not of the person in view; the headset stays visible. "
    "Start with your own profile, or make one with calibrate-reference"
)

GUESSED = (
    "who is in view is not checked: MediaPipe only guesses at a face under a headset; "
    "with landmarks of the tracker it is"
)


class PersonCheck(Protocol):
    """What the pipeline asks."""

    @property
    def note(self) -> str:
        """A sentence worth telling the user now; empty = nothing."""
        ...

    @property
    def is_wrong(self) -> bool:
        """Whether the person in view is clearly not the profile's."""
        ...

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        """Look at a frame; what is found holds from the next one on."""
        ...


class AnyPerson:
    """Restores whoever is in view: checking is off, for the reason in `note`."""

    is_wrong = False

    def __init__(self, note: str = "") -> None:
        """`note` says why, if the user should know."""
        self.note = note

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        """Do nothing."""


class IdentityCheck:
    """Compares the person in view with a print and decides over time."""

    def __init__(self, of: IdentityPrint, reader: FacePrintReader, counted: Fitted) -> None:
        """Watch for the owner of a print made by the reader's network.

        Raises:
            ValueError: print, network and what was fitted do not belong together.
        """
        if of.network != reader.version or counted.network != reader.version:
            raise ValueError(
                f"a print of network {of.network} and weights for {counted.network} "
                f"cannot be used with {reader.version}"
            )
        self._print, self._reader, self._weights = of, reader, counted.windows
        self.evidence = Evidence(counted.evidence)
        self._looked_ns: int | None = None
        self._seen_ns: int | None = None
        self._place: tuple[Float32Array, float] | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether the person in view is clearly not the profile's."""
        return self.evidence.verdict is Verdict.SOMEBODY_ELSE

    @property
    def note(self) -> str:
        """What to tell the user."""
        return WRONG_PERSON if self.is_wrong else ""

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        """Look at one frame when a look is due; what is found holds from the next one on."""
        now_ns = frame.capture_time_ns
        self._restart_if_lost(now_ns, track)
        if track is None or not self._is_due(now_ns):
            return
        self._looked_ns = now_ns
        look = look_at(frame.image, track, self._print, self._reader)
        if look is None:
            return
        before = self.evidence.verdict
        verdict = self.evidence.add(evidence_of(look, self._weights), now_ns)
        if verdict is not before:
            told = log.warning if verdict is Verdict.SOMEBODY_ELSE else log.info
            told("the person in view: %s", verdict.value)

    def _is_due(self, now_ns: int) -> bool:
        if self._looked_ns is None or now_ns < self._looked_ns:
            return True
        return now_ns - self._looked_ns >= (LATER_NS if self.evidence.is_settled else FIRST_NS)

    def _restart_if_lost(self, now_ns: int, track: FaceTrack | None) -> None:
        """Forget the evidence when the face was away, or another one is followed now."""
        if track is None:
            return
        box = head_box(track.mesh)
        seen_ns, self._seen_ns = self._seen_ns, now_ns
        last, self._place = self._place, (box.centre, box.side_px)
        if seen_ns is None or last is None:
            return
        moved = float(np.linalg.norm(box.centre - last[0])) / max(last[1], 1.0)
        if not 0 <= now_ns - seen_ns <= LOST_NS or moved > JUMP:
            self.evidence.restart()
            self._looked_ns = None


def make_check(
    profile: SessionProfile,
    any_person: bool = False,
    edge: EdgeSettings | None = None,
    tell: Callable[[str], None] = log.warning,
) -> PersonCheck:
    """The check of a session: for the owner of a profile, or none where the user said so.

    A profile that has no print, or one of another network, gets one from its pictures. Where faces
    tracked as `edge` says are never fit for a look, nobody is checked, and `tell` hears of it.
    """
    if any_person:
        return AnyPerson()
    if edge is not None and (edge.landmarks, edge.cover) == ("mediapipe", "headset"):
        tell(GUESSED)
        return AnyPerson()
    try:
        reader = FacePrintReader()
        own = profile.identity
        if own is None or own.network != reader.version:
            own = print_of_views(profile.references, reader)
        return IdentityCheck(own, reader, fitted())
    except (WeightsError, UserError, ValueError) as error:
        log.warning("not checked whether the profile is of the person in view: %s", error)
        return AnyPerson("who is in view is not checked: see the log")
