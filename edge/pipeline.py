"""One frame's way through the product: camera -> track -> fuse -> fill -> composite -> client.

Read this file first. A frame's way has two halves, `Pipeline.track` and `Pipeline.restore`; a
session runs the first one ahead on a thread of its own (`edge.tracking_ahead`), so that the next
frame is tracked while one is restored. Whatever arrives meanwhile waits in a slot where the newest
wins. `capture_time_ns` travels unchanged from the camera to the client.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edge.composite import Hole, composite, hidden_in_frame, open_hole
from edge.covers.statuses import bare_status, restored_statuses
from edge.eyes.fusion import EyeFusion, EyePair
from edge.eyes.lids import LidMover
from edge.identity.person_check import AnyPerson, PersonCheck
from edge.light.watch import LightWatch
from edge.plate.backdrop import Backdrop
from edge.records import Capture, FaceTrack, PipelineView, Tracked
from edge.sinks import ViewSink
from edge.timing import StageTimes
from edge.tracker import Tracker
from models.contract import RECEPTIVE_FRAMES
from models.face.alignment import cut_crop, mesh_to_crop
from models.filling import DetailedFiller, Filler
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
        self._filler = filler
        self._publisher = publisher
        self._sinks = sinks
        self._times = times
        self._lids = lids
        self._person = person or AnyPerson()
        self._backdrop = backdrop or Backdrop()
        self._light = light or LightWatch(None)
        self._size_px = size_px
        self._max_gap_ns = max_gap_ns
        self._last_time_ns: int | None = None
        self._is_followed = False
        self._wants_fresh_track = threading.Event()
        self._warm_frames = 0
        self._tracker_note = self._landmark_source = ""

    def process(self, capture: Capture) -> PipelineView:
        """Both halves of one frame's way, one after the other."""
        return self.restore(self.track(capture))

    def track(self, capture: Capture) -> Tracked:
        """First half: where headset and face are.

        May run on another thread than `restore`. What it remembers depends on nothing that
        `restore` finds, so that running ahead changes no frame.
        """
        self._times.begin_frame(capture.frame.frame_id)
        starts_afresh = self._is_after_gap(capture.frame)
        if starts_afresh or self._wants_fresh_track.is_set():
            self._wants_fresh_track.clear()
            self._tracker.reset()
        with self._times.measure("track"):
            track = self._tracker.track(capture)
        was_followed, self._is_followed = self._is_followed, _is_worn(track)
        if was_followed and not self._is_followed:
            self._tracker.reset()
        tracker = self._tracker  # which of several looked may be another at the next frame
        return Tracked(capture, track, starts_afresh, tracker.note, tracker.name)

    def restore(self, tracked: Tracked) -> PipelineView:
        """Second half: restore the face, publish and show it."""
        capture, track = tracked.capture, tracked.track
        self._times.begin_frame(capture.frame.frame_id)
        self._tracker_note, self._landmark_source = tracked.note, tracked.landmark_source
        if tracked.starts_afresh:
            self._forget()
        with self._times.measure("fuse"):
            eyes = self._eyes.at(capture.frame.capture_time_ns)
            if track is not None and self._lids is not None and track.cover == "headset":
                track = dataclasses.replace(track, mesh=self._lids.move(track.mesh, eyes))
        if track is None:
            view = self._pass_through(capture, eyes, Status.NO_FACE)
        elif self._person.is_wrong:
            view = self._pass_through(capture, eyes, Status.WRONG_PERSON)
        elif not _is_worn(track):
            view = self._pass_through(capture, eyes, bare_status(track))
        else:
            view = self._filled(capture, track, eyes)
        with self._times.measure("publish"):
            right, left = eyes
            self._publisher.publish_restored(view.restored, view.eyes, (right.age_ns, left.age_ns))
        with self._times.measure("show"):
            for sink in self._sinks:
                sink.show(view)
        with self._times.measure("identity"):  # after sending: what it finds holds from the next on
            self._person.watch(capture.frame, track)
        if not self._person.is_wrong:
            with self._times.measure("light"):
                self._light.watch(capture.frame, track)
        return view

    @property
    def note(self) -> str:
        """A detail worth telling the user now, such as a second face; empty = nothing."""
        return self._person.note or self._tracker_note

    def use_filler(self, filler: Filler, backdrop: Backdrop | None = None) -> None:
        """Go on with another profile: its filler, and what it knows of its owner's room."""
        self._filler, self._backdrop = filler, backdrop or Backdrop()
        self._eyes.reset()
        self._forget()
        self._wants_fresh_track.set()

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
        """Zero what the filler remembers: on start, another profile, face lost, gap."""
        self._filler.reset()
        self._backdrop.reset()
        self._warm_frames = 0

    def _filled(self, capture: Capture, track: FaceTrack, eyes: EyePair) -> PipelineView:
        frame = capture.frame
        with self._times.measure("prepare"):
            hole = open_hole(track.mask, track.frame_from_crop, self._size_px)
            crop = cut_crop(frame.image, track.frame_from_crop, self._size_px)
            mesh = mesh_to_crop(track.mesh, track.frame_from_crop)
            self._backdrop.stand_behind(self._filler, crop, hole)
        with self._times.measure("fill"):
            filled = self._filler.fill(crop, hole.crop_hidden, mesh)
        with self._times.measure("composite"):
            detail = self._filler.detail if isinstance(self._filler, DetailedFiller) else None
            image = composite(frame.image, filled, hole, detail)
            self._backdrop.learn(self._filler, frame.image, hole, mesh)
        self._warm_frames += 1
        # The network looks back over so many frames; with fewer its memory is still filling.
        is_warming = self._warm_frames < RECEPTIVE_FRAMES
        status = restored_statuses(track, eyes, is_warming)
        restored = self._face(frame, image, filled, track, eyes, status)
        return self._view(capture, restored, hole)

    def _pass_through(self, capture: Capture, eyes: EyePair, reason: Status) -> PipelineView:
        """Let the camera's frame pass as it is; an old face is never repeated."""
        if self._warm_frames:
            log.info("%s: passing the camera's frames", reason.value)
            self._forget()
        restored = self._face(capture.frame, capture.frame.image, NO_CROP, None, eyes, (reason,))
        return self._view(capture, restored, None)

    def _face(
        self,
        frame: Frame,
        image: ImageU8,
        crop: ImageU8,
        track: FaceTrack | None,
        eyes: EyePair,
        status: tuple[Status, ...],
    ) -> RestoredFace:
        if self._publisher.paused:
            status = (*status, Status.PAUSED)
        return RestoredFace(
            frame_id=frame.frame_id,
            capture_time_ns=frame.capture_time_ns,
            publish_time_ns=time.monotonic_ns(),
            image=image,
            crop=crop,
            frame_from_crop=WHOLE_FRAME if track is None else track.frame_from_crop,
            landmarks=NO_LANDMARKS if track is None else track.mesh,
            gaze=_gaze(eyes),
            openness=_openness(eyes),
            status=status,
            filler="none" if track is None else self._filler.name,
            landmark_source=self._landmark_source,
        )

    def _view(self, capture: Capture, restored: RestoredFace, hole: Hole | None) -> PipelineView:
        truth = capture.truth
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
