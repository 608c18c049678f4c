"""Says when a session's light is, for a while, far from the light of the profile.

Cameras adapt and the filler matches what is left of ordinary differences; this is about the rest.
"""

from __future__ import annotations

import logging
from collections import Counter, deque

from edge.identity.likeness import is_fit
from edge.light.difference import difference, sentence
from edge.light.part import ProfileLight, light_of_views
from edge.light.skin import look_at_skin
from edge.profile import SessionProfile
from edge.records import FaceTrack
from streaming.records import Frame

log = logging.getLogger(__name__)

PERIOD_NS = 1_000_000_000  # between looks
LOOKS, AGREEING = 6, 5  # of so many looks in a row so many must differ in the same way
STALE_NS = 5_000_000_000  # a longer pause, such as nobody in view, and they are no row
SHOWN_NS = 60_000_000_000  # for how long it is told, if the light stays as it is


class LightWatch:
    """Looks at the visible skin once a second, beside the pipeline; see `edge.pipeline`."""

    def __init__(self, light: ProfileLight | None) -> None:
        """Compare with `light`; None: with nothing."""
        self._views = [] if light is None else light.looks()
        self._row: deque[frozenset[str]] = deque(maxlen=LOOKS)  # in what each look differs
        self._looked_ns: int | None = None
        self._seen_ns: int | None = None
        self._told_ns: int | None = None
        self._note = ""

    @property
    def note(self) -> str:
        """A sentence worth telling the user now; empty = nothing."""
        return self._note

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        """Look at a frame whose way to the clients is over, when a look is due."""
        now_ns = frame.capture_time_ns
        if not self._views or not self._is_due(now_ns):
            return
        self._looked_ns = now_ns
        self._end_in_time(now_ns)
        words = None if track is None or not is_fit(track) else self._seen(frame, track)
        if words is None:
            return
        if self._seen_ns is not None and not 0 <= now_ns - self._seen_ns <= STALE_NS:
            self._row.clear()
        self._seen_ns = now_ns
        self._row.append(words)
        self._decide(now_ns)

    def _is_due(self, now_ns: int) -> bool:
        last_ns = self._looked_ns
        return last_ns is None or not 0 <= now_ns - last_ns < PERIOD_NS

    def _seen(self, frame: Frame, track: FaceTrack) -> frozenset[str] | None:
        """In what the light differs; None where too little skin is in view."""
        look = look_at_skin(frame.image, track.mesh, track.mask)
        found = [each for view in self._views if (each := difference(look, view)) is not None]
        if not found:
            return None
        # Views are lit differently where the head was turned: the one nearest in light counts.
        return min(found, key=lambda each: each.strength).words

    def _decide(self, now_ns: int) -> None:
        counted = Counter(word for words in self._row for word in words)
        steady = {word for word, times in counted.items() if times >= AGREEING}
        if self._told_ns is None and steady:
            self._told_ns, self._note = now_ns, sentence(steady)
            log.warning("%s", self._note)
        elif self._told_ns is not None and not counted:
            self._end()

    def _end_in_time(self, now_ns: int) -> None:
        if self._told_ns is not None and not 0 <= now_ns - self._told_ns <= SHOWN_NS:
            self._end()

    def _end(self) -> None:
        """Once a session is enough."""
        self._note, self._views = "", []


def watch_for(profile: SessionProfile) -> LightWatch:
    """The watch of a session; a profile without light has it measured from its views."""
    return LightWatch(profile.light or light_of_views(profile.references))
