"""Trackers that mind what covers the face: the configured cover, or whichever is worn."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from edge.covers.witnesses import Watch, Witness
from edge.records import Capture, CoverKind, FaceTrack
from edge.settings import Landmarks
from edge.tracker import Tracker
from edge.visibility import is_visible
from models.face.alignment import crop_from_mesh
from streaming.records import Float32Array

log = logging.getLogger(__name__)

OTHER: Mapping[CoverKind, CoverKind] = {"headset": "face-mask", "face-mask": "headset"}
NAMES: Mapping[CoverKind, str] = {"headset": "headset", "face-mask": "face mask"}
MISMATCH = (
    "a {seen} is worn, but this session is for a {wanted}: start with --cover {option} or auto"
)
BOTH = "a headset and a face mask are worn at once, but only one can be restored: take {off}"
OR_OTHER = "the {seen} off, or the {wanted} and start with --cover {option}"
CROP_PX = 128  # of frames that pass: nothing is cut from them
FOLLOWED = 15  # frames: after a change of cover no other change for so long


class MindingTracker:
    """Follows one kind of cover, and says so when the other kind is worn instead."""

    def __init__(
        self, tracker: Tracker, cover: CoverKind, other: Witness, own: Witness | None = None
    ) -> None:
        """`tracker` finds `cover`; `other` sees the other kind.

        `own` sees `cover` where `tracker` is lost because the other kind is worn too; None = it
        is not.
        """
        self._tracker, self._cover, self._own = tracker, cover, own
        self._watch = Watch(other)
        self._judged: Float32Array | None = None  # what `_is_both` was found from
        self._is_both = False

    @property
    def name(self) -> Landmarks:
        """Of the tracker that finds the landmarks."""
        return self._tracker.name

    @property
    def engine_name(self) -> str:
        """Of the tracker that finds the landmarks."""
        return self._tracker.engine_name

    @property
    def note(self) -> str:
        """What is worth telling now; a mismatch first."""
        if not self._watch.is_seen:
            return self._tracker.note
        other = OTHER[self._cover]
        text = BOTH.format(off=OR_OTHER) if self._is_both else MISMATCH
        return text.format(seen=NAMES[other], wanted=NAMES[self._cover], option=other)

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None; nothing is hidden while the other kind is worn."""
        track = self._tracker.track(capture)
        if _is_certain(track):
            self._watch.reset()
            return track
        before = self.note if self._watch.is_seen else ""
        self._watch.look(capture.frame.image, track)
        mesh = self._watch.mesh
        if mesh is None:
            return track
        self._judge(capture, track, mesh)
        if self.note != before:
            log.warning("%s", self.note)
        return passed(capture, mesh if track is None else track.mesh, self._cover)

    def _judge(self, capture: Capture, track: FaceTrack | None, mesh: Float32Array) -> None:
        """Once per look that found the other kind: whether the cover itself is worn, too."""
        if mesh is self._judged:
            return
        self._judged = mesh
        self._is_both = _is_found(track)
        if self._own is not None and not self._is_both:
            shown = passed(capture, mesh, self._cover)
            self._is_both = self._own.sees(capture.frame.image, shown) is not None

    def reset(self) -> None:
        """Forget earlier frames; a mismatch stands until it is looked at again."""
        self._tracker.reset()

    def close(self) -> None:
        """Free what it holds."""
        self._tracker.close()


class AutoTracker:
    """Follows whichever cover is worn: goes over to the other kind when that is seen instead.

    Whoever wears both is not restored. It is noticed by going over to the face mask in vain: no
    face is found there, but the headset again.
    """

    def __init__(
        self, trackers: Mapping[CoverKind, Tracker], witnesses: Mapping[CoverKind, Witness]
    ) -> None:
        """One tracker and one witness for each kind; starts with the headset's."""
        self._trackers = trackers
        self._watches = {kind: Watch(witness) for kind, witness in witnesses.items()}
        self.cover: CoverKind = "headset"
        self._used: list[CoverKind] = [self.cover]
        self._since = 0  # frames since the cover changed
        self._missed = 0  # frames since something was found to be filled
        self._is_in_vain = False  # the way to the face mask, as far as is known
        self._is_both = False

    @property
    def name(self) -> Landmarks:
        """Of the tracker that runs now."""
        return self._trackers[self.cover].name

    @property
    def engine_name(self) -> str:
        """Of every tracker that ran so far, in the order of their first use."""
        names = (self._trackers[cover].engine_name for cover in self._used)
        return ", ".join(dict.fromkeys(filter(None, names)))

    @property
    def note(self) -> str:
        """Of the tracker that runs now; that both are worn first."""
        return BOTH.format(off="one off") if self._is_both else self._trackers[self.cover].note

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None; nothing is hidden while both kinds are worn."""
        track = self._trackers[self.cover].track(capture)
        self._since += 1
        other = OTHER[self.cover]
        watch = self._watches[other]
        if _is_certain(track):
            watch.reset()
            self._is_in_vain = False
            return track
        watch.look(capture.frame.image, track)
        self._missed = 0 if _is_found(track) else self._missed + 1
        if self._sees_both(watch):
            mesh = watch.mesh if track is None else track.mesh
            assert mesh is not None
            return passed(capture, mesh, self.cover)
        if not watch.is_seen or self._since < FOLLOWED:
            return track
        return self._gone_over(capture, other)

    def _sees_both(self, watch: Watch) -> bool:
        was_both = self._is_both
        is_worn = self.cover == "headset" and self._missed < FOLLOWED
        self._is_both = is_worn and self._is_in_vain and watch.is_seen
        if self._is_both and not was_both:
            log.warning("%s", self.note)
        return self._is_both

    def _gone_over(self, capture: Capture, other: CoverKind) -> FaceTrack | None:
        log.info("a %s is worn now", NAMES[other])
        self._watches[other].reset()
        self.cover, self._since = other, 0
        if other not in self._used:
            self._used.append(other)
        self._is_in_vain |= other == "face-mask"
        self._trackers[other].reset()
        return self._trackers[other].track(capture)

    def reset(self) -> None:
        """Forget earlier frames, not which cover is worn."""
        for tracker in self._trackers.values():
            tracker.reset()

    def close(self) -> None:
        """Free what both hold."""
        for tracker in self._trackers.values():
            tracker.close()


def passed(capture: Capture, mesh: Float32Array, cover: CoverKind) -> FaceTrack:
    """A face on which nothing is filled, as it wears something else than, or beside, `cover`."""
    nothing = np.zeros(capture.frame.image.shape[:2], np.uint8)
    return FaceTrack(
        mesh,
        is_visible(mesh, nothing),
        nothing,
        crop_from_mesh(mesh, CROP_PX),
        0.0,  # so covered, nobody can be told by the face
        cover,
        is_other=True,
    )


def _is_found(track: FaceTrack | None) -> bool:
    """Whether something to be filled was found."""
    return track is not None and bool(track.mask.any())


def _is_certain(track: FaceTrack | None) -> bool:
    """Whether what was found on the face is not of the other kind.

    HeadsetNet takes one face mask in twenty for a headset; MediaPipe finds no face under a headset.
    """
    return track is not None and track.cover == "face-mask" and _is_found(track)
