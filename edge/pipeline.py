"""One frame's way through the product: camera -> track -> fuse -> fill -> composite -> client.

Read this file first. A frame's way has three parts, `Pipeline.track`, `prepare` and `restore`; a
session runs the first two ahead on threads of their own (`edge.working_ahead`), so that the next
frames are tracked and prepared while one goes through the network. Whatever arrives meanwhile waits
in a slot where the newest wins. `capture_time_ns` travels unchanged from the camera to the client.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edge.composite import hidden_in_frame
from edge.covers.statuses import bare_status, restored_statuses
from edge.eyes.fusion import EyeFusion, EyePair
from edge.eyes.lids import LidMover
from edge.hole_filling import BegunFill, HoleFilling
from edge.identity.person_check import AnyPerson, PersonCheck
from edge.light.watch import LightWatch
from edge.plate.backdrop import Backdrop
from edge.records import Capture, FaceTrack, PipelineView, Tracked
from edge.sinks import ViewSink
from edge.timing import StageTimes
from edge.tracker import Tracker
from models.contract import RECEPTIVE_FRAMES
from models.filling import Filler
from streaming.records import Float32Array, Frame, ImageU8, RestoredFace, Status

log = logging.getLogger(__name__)

NO_CROP = np.empty((0, 0, 3), np.uint8)
NO_LANDMARKS = np.empty((0, 3), np.float32)
WHOLE_FRAME = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


class FacePublisher(Protocol):
    """What the pipeline needs of `streaming.publisher.Publisher`."""

    @property
    def paused(self) -> bool:
        """Whether nothing is sent at the moment."""
        ...

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Send what clients want of one frame."""
        ...


class NoClients:
    """A publisher to whom nobody subscribed; see `FacePublisher`."""

    paused = False

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Send nothing."""


@dataclass(frozen=True)
class Prepared:
    """One frame after the second part of its way: `Pipeline.prepare`."""

    tracked: Tracked
    eyes: EyePair
    passes: Status | None  # why the camera's frame passes as it is; None = it is restored
    begun: BegunFill | None  # None = it passes
    is_first: bool = False  # that is restored since everything was forgotten


class Pipeline:
    """Restores one frame after the other; its states are the tracker's and the filler's."""

    def __init__(
        self,
        tracker: Tracker,
        eyes: EyeFusion,
        filler: Filler,
        publisher: FacePublisher,
        sinks: Sequence[ViewSink],
        times: StageTimes,
        *,
        lids: LidMover | None = None,
        person: PersonCheck | None = None,
        backdrop: Backdrop | None = None,
        light: LightWatch | None = None,
        size_px: int = 128,
        max_gap_ns: int = 500_000_000,
    ) -> None:
        """Keep the parts, which the caller opens and closes; start as after a reset.

        `lids` is None when the tracker's mesh has the true lids already (the oracle).
        `person` says whether the person in view is the profile's, None: whoever it is.
        `backdrop` knows the room behind the wearer, None: only what this session sees of it.
        `light` compares the light with the profile's, None: nobody does.
        """
        self._tracker = tracker
        self._eyes = eyes
        self._filling = HoleFilling(filler, backdrop or Backdrop(), size_px, times)
        self._publisher = publisher
        self._sinks = sinks
        self._times = times
        self._lids = lids
        self._person = person or AnyPerson()
        self._light = light or LightWatch(None)
        self._max_gap_ns = max_gap_ns
        self._last_time_ns: int | None = None
        self._is_followed = False
        self._is_forgotten = True  # nothing was begun since
        self._warm_frames = 0  # that the network remembers
        self._restarts = self._filling.restarts
        self._tracker_note = ""

    def process(self, capture: Capture) -> PipelineView:
        """All parts of one frame's way, one after the other."""
        return self.restore(self.prepare(self.track(capture)))

    def track(self, capture: Capture) -> Tracked:
        """First part: where headset and face are.

        Each part may run on a thread of its own. What one remembers depends on nothing that a later
        one finds, so that running ahead changes no frame.
        """
        self._times.begin_frame(capture.frame.frame_id)
        starts_afresh = self._is_after_gap(capture.frame)
        if starts_afresh:
            self._tracker.reset()
        with self._times.measure("track"):
            track = self._tracker.track(capture)
        was_followed, self._is_followed = self._is_followed, _is_worn(track)
        if was_followed and not self._is_followed:
            self._tracker.reset()
        tracker = self._tracker  # which of several looked may be another at the next frame
        return Tracked(capture, track, starts_afresh, tracker.note, tracker.name)

    def prepare(self, tracked: Tracked) -> Prepared:
        """Second part: all that the network needs, and whether there is anything to restore."""
        capture, track = tracked.capture, tracked.track
        self._times.begin_frame(capture.frame.frame_id)
        if tracked.starts_afresh:
            self._forget()
        with self._times.measure("fuse"):
            eyes = self._eyes.at(capture.frame.capture_time_ns)
            if track is not None and self._lids is not None and track.cover == "headset":
                track = dataclasses.replace(track, mesh=self._lids.move(track.mesh, eyes))
        if track is None:
            prepared = self._passing(tracked, eyes, Status.NO_FACE)
        elif (reason := self._reason_to_pass(track)) is not None:
            prepared = self._passing(tracked, eyes, reason)
        else:
            prepared = self._begun(tracked, track, eyes)
        with self._times.measure("identity"):  # what it finds holds from the next frame on
            self._person.watch(capture.frame, track)
        return prepared

    def restore(self, prepared: Prepared) -> PipelineView:
        """Third part: restore the face, publish and show it."""
        frame, track = prepared.tracked.capture.frame, prepared.tracked.track
        self._times.begin_frame(frame.frame_id)
        self._tracker_note = prepared.tracked.note
        image, crop = frame.image, NO_CROP
        if prepared.begun is not None:
            image, crop = prepared.begun.end(frame.image)
        status = self._statuses(prepared)
        view = self._view(prepared, self._face(prepared, status, image, crop))
        with self._times.measure("publish"):
            right, left = prepared.eyes
            self._publisher.publish_restored(view.restored, view.eyes, (right.age_ns, left.age_ns))
        with self._times.measure("show"):
            for sink in self._sinks:
                sink.show(view)
        if prepared.passes is not Status.WRONG_PERSON:
            with self._times.measure("light"):
                self._light.watch(frame, track)
        return view

    @property
    def note(self) -> str:
        """A detail worth telling the user now, such as a second face; empty = nothing."""
        return self._person.note or self._tracker_note

    def _is_after_gap(self, frame: Frame) -> bool:
        """Whether nothing before this frame counts: the first one, or a gap before it."""
        last_ns, self._last_time_ns = self._last_time_ns, frame.capture_time_ns
        if last_ns is None:
            return True
        if 0 <= frame.capture_time_ns - last_ns <= self._max_gap_ns:
            return False
        log.info("gap of %.1f s: starting afresh", (frame.capture_time_ns - last_ns) / 1e9)
        return True

    def _forget(self) -> None:
        """Zero what the filler remembers: on start, face lost, gap."""
        self._filling.reset()
        self._is_forgotten = True

    def _reason_to_pass(self, track: FaceTrack) -> Status | None:
        """Why a face is not restored; None = it is."""
        if self._person.is_wrong:
            return Status.WRONG_PERSON
        return None if _is_worn(track) else bare_status(track)

    def _passing(self, tracked: Tracked, eyes: EyePair, reason: Status) -> Prepared:
        """Let the camera's frame pass as it is; an old face is never repeated."""
        if not self._is_forgotten:
            log.info("%s: passing the camera's frames", reason.value)
            self._forget()
        return Prepared(tracked, eyes, reason, None)

    def _begun(self, tracked: Tracked, track: FaceTrack, eyes: EyePair) -> Prepared:
        with self._times.measure("prepare"):
            begun = self._filling.begin(tracked.capture.frame.image, track)
        is_first, self._is_forgotten = self._is_forgotten, False
        return Prepared(tracked, eyes, None, begun, is_first)

    def _statuses(self, prepared: Prepared) -> tuple[Status, ...]:
        """Of a frame that was just filled, or passes."""
        track = prepared.tracked.track
        if prepared.passes is not None or track is None:
            status: tuple[Status, ...] = (prepared.passes or Status.NO_FACE,)
        else:
            status = restored_statuses(track, prepared.eyes, self._is_warming(prepared.is_first))
        return (*status, Status.PAUSED) if self._publisher.paused else status

    def _is_warming(self, is_first: bool) -> bool:
        """Whether the memory that a frame was just filled from is still filling.

        Known only after the fill: an engine that fails in it takes the memory along.
        """
        before, self._restarts = self._restarts, self._filling.restarts
        is_new = is_first or self._restarts != before
        self._warm_frames = 1 if is_new else self._warm_frames + 1
        # The network looks back over so many frames.
        return self._warm_frames < RECEPTIVE_FRAMES

    def _face(
        self, prepared: Prepared, status: tuple[Status, ...], image: ImageU8, crop: ImageU8
    ) -> RestoredFace:
        frame, begun = prepared.tracked.capture.frame, prepared.begun
        return RestoredFace(
            frame_id=frame.frame_id,
            capture_time_ns=frame.capture_time_ns,
            publish_time_ns=time.monotonic_ns(),
            image=image,
            crop=crop,
            frame_from_crop=WHOLE_FRAME if begun is None else begun.hole.frame_from_crop,
            landmarks=NO_LANDMARKS if begun is None else begun.landmarks,
            gaze=_gaze(prepared.eyes),
            openness=_openness(prepared.eyes),
            status=status,
            filler="none" if begun is None else begun.filler,
            landmark_source=prepared.tracked.landmark_source,
        )

    def _view(self, prepared: Prepared, restored: RestoredFace) -> PipelineView:
        capture, begun = prepared.tracked.capture, prepared.begun
        truth, hole = capture.truth, None if begun is None else begun.hole
        return PipelineView(
            camera=capture.frame,
            restored=restored,
            eyes=() if truth is None else truth.eyes,
            truth=None if truth is None else truth.image,
            hidden=None if hole is None else hidden_in_frame(hole, restored.image.shape),
            frame_from_crop=None if hole is None else hole.frame_from_crop,
        )


def _is_worn(track: FaceTrack | None) -> bool:
    return track is not None and bool(track.mask.any())


def _gaze(eyes: EyePair) -> Float32Array:
    return np.stack([eye.gaze for eye in eyes])


def _openness(eyes: EyePair) -> Float32Array:
    return np.array([eye.openness for eye in eyes], np.float32)
