"""Trackers that mind what covers the face: the configured cover, or whichever is worn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge.covers.witnesses import Watch, Witness
from edge.records import Capture, CoverKind, FaceTrack
from edge.settings import Landmarks
from edge.visibility import is_visible
from models.face.alignment import crop_from_mesh
from streaming.records import Float32Array

if TYPE_CHECKING:  # edge.tracker opens these
    from edge.tracker import Tracker

log = logging.getLogger(__name__)

OTHER: Mapping[CoverKind, CoverKind] = {"headset": "face-mask", "face-mask": "headset"}
MISMATCH = "a {seen} is in view, but this session is for a {wanted}: start with --cover {seen}"
CROP_PX = 128  # of frames that pass: nothing is cut from them
FOLLOWED = 15  # frames: after a change of cover no other change for so long


class MindingTracker:
    """Follows one kind of cover, and says so when the other kind is worn instead."""

    def __init__(self, tracker: Tracker, cover: CoverKind, other: Witness) -> None:
        """`tracker` finds `cover`; `other` sees the other kind."""
        self._tracker, self._cover = tracker, cover
        self._watch = Watch(other)

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
        if self._watch.is_seen:
            return MISMATCH.format(seen=OTHER[self._cover], wanted=self._cover)
        return self._tracker.note

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None; nothing is hidden while the other kind is worn."""
        track = self._tracker.track(capture)
        if _is_certain(track):
            self._watch.reset()
            return track
        before = self._watch.is_seen
        self._watch.look(capture.frame.image, track)
        if self._watch.is_seen and not before:
            log.warning("%s", self.note)
        mesh = self._watch.mesh
        if mesh is None:
            return track
        return self._passed(capture, mesh if track is None else track.mesh)

    def _passed(self, capture: Capture, mesh: Float32Array) -> FaceTrack:
        """A face on which nothing is filled, as it wears the other kind."""
        nothing = np.zeros(capture.frame.image.shape[:2], np.uint8)
        return FaceTrack(
            mesh,
            is_visible(mesh, nothing),
            nothing,
            crop_from_mesh(mesh, CROP_PX),
            0.0,  # so covered, nobody can be told by the face
            self._cover,
            is_other=True,
        )

    def reset(self) -> None:
        """Forget earlier frames; a mismatch stands until it is looked at again."""
        self._tracker.reset()

    def close(self) -> None:
        """Free what it holds."""
        self._tracker.close()


class AutoTracker:
    """Follows whichever cover is worn: goes over to the other kind when that is seen instead."""

    def __init__(
        self, trackers: Mapping[CoverKind, Tracker], witnesses: Mapping[CoverKind, Witness]
    ) -> None:
        """One tracker and one witness for each kind; starts with the headset's."""
        self._trackers = trackers
        self._watches = {kind: Watch(witness) for kind, witness in witnesses.items()}
        self.cover: CoverKind = "headset"
        self._since = 0  # frames since the cover changed

    @property
    def name(self) -> Landmarks:
        """Of the tracker that runs now."""
        return self._trackers[self.cover].name

    @property
    def engine_name(self) -> str:
        """Of the tracker that runs now."""
        return self._trackers[self.cover].engine_name

    @property
    def note(self) -> str:
        """Of the tracker that runs now."""
        return self._trackers[self.cover].note

    def track(self, capture: Capture) -> FaceTrack | None:
        """The face in this frame, or None."""
        track = self._trackers[self.cover].track(capture)
        self._since += 1
        other = OTHER[self.cover]
        if _is_certain(track):
            self._watches[other].reset()
            return track
        self._watches[other].look(capture.frame.image, track)
        if not self._watches[other].is_seen or self._since < FOLLOWED:
            return track
        log.info("a %s is worn now", other)
        self._watches[other].reset()
        self.cover, self._since = other, 0
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


def _is_certain(track: FaceTrack | None) -> bool:
    """Whether what was found on the face is not of the other kind.

    HeadsetNet takes one face mask in twenty for a headset; MediaPipe finds no face under a headset.
    """
    return track is not None and track.cover == "face-mask" and bool(track.mask.any())
