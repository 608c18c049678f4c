"""One frame's way through the product: camera -> track -> fuse -> fill -> composite -> client.

Read this file first. Everything happens on one thread, one frame at a time; whatever arrives
meanwhile waits in a slot where the newest wins. `capture_time_ns` travels unchanged from the
camera to the client.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edge.composite import Hole, composite, hidden_in_frame, open_hole
from edge.fusion import EyeFusion, EyePair, eye_statuses
from edge.lids import LidMover
from edge.records import Capture, FaceTrack, PipelineView
from edge.sinks import ViewSink
from edge.timing import StageTimes
from edge.tracker import Tracker
from models.alignment import cut_crop, mesh_to_crop
from models.contract import RECEPTIVE_FRAMES
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
        size_px: int = 128,
        max_gap_ns: int = 500_000_000,
    ) -> None:
        """Keep the parts, which the caller opens and closes; start as after a reset.

        `lids` is None when the tracker's mesh has the true lids already (the oracle).
        """
        self._tracker = tracker
        self._eyes = eyes
        self._filler = filler
        self._publisher = publisher
        self._sinks = sinks
        self._times = times
        self._lids = lids
        self._size_px = size_px
        self._max_gap_ns = max_gap_ns
        self._last_time_ns: int | None = None
        self._warm_frames = 0

    def process(self, capture: Capture) -> PipelineView:
        """Restore one frame, publish it and show it."""
        self._reset_after_gap(capture.frame)
        with self._times.measure("track"):
            track = self._tracker.track(capture)
        with self._times.measure("fuse"):
            eyes = self._eyes.at(capture.frame.capture_time_ns)
            if track is not None and self._lids is not None:
                track = dataclasses.replace(track, mesh=self._lids.move(track.mesh, eyes))
        if track is None:
            view = self._pass_through(capture, eyes, Status.NO_FACE)
        elif not track.mask.any():
            view = self._pass_through(capture, eyes, Status.NO_HEADSET)
        else:
            view = self._restore(capture, track, eyes)
        with self._times.measure("publish"):
            ages = tuple(None if eye is None else eye.age_ns for eye in eyes)
            self._publisher.publish_restored(view.restored, view.eyes, (ages[0], ages[1]))
        with self._times.measure("show"):
            for sink in self._sinks:
                sink.show(view)
        return view

    @property
    def note(self) -> str:
        """A detail worth telling the user now, such as a second face; empty = nothing."""
        return self._tracker.note

    def use_filler(self, filler: Filler) -> None:
        """Go on with another filler: another profile has another reference."""
        self._filler = filler
        self._eyes.reset()
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames: on start, another profile, face lost, gap."""
        self._filler.reset()
        self._tracker.reset()
        self._warm_frames = 0

    def _reset_after_gap(self, frame: Frame) -> None:
        last_ns, self._last_time_ns = self._last_time_ns, frame.capture_time_ns
        if last_ns is None:
            self.reset()
        elif not 0 <= frame.capture_time_ns - last_ns <= self._max_gap_ns:
            log.info("gap of %.1f s: starting afresh", (frame.capture_time_ns - last_ns) / 1e9)
            self.reset()

    def _restore(self, capture: Capture, track: FaceTrack, eyes: EyePair) -> PipelineView:
        frame = capture.frame
        with self._times.measure("prepare"):
            hole = open_hole(track.mask, track.frame_from_crop, self._size_px)
            crop = cut_crop(frame.image, track.frame_from_crop, self._size_px)
            mesh = mesh_to_crop(track.mesh, track.frame_from_crop)
        with self._times.measure("fill"):
            filled = self._filler.fill(crop, hole.crop_hidden, mesh)
        with self._times.measure("composite"):
            detail = self._filler.detail if isinstance(self._filler, DetailedFiller) else None
            image = composite(frame.image, filled, hole, detail)
        self._warm_frames += 1
        # The network looks back over so many frames; with fewer its memory is still filling.
        is_warming = self._warm_frames < RECEPTIVE_FRAMES
        status = (Status.WARMING if is_warming else Status.LIVE, *eye_statuses(eyes))
        restored = self._face(frame, image, filled, track, eyes, status)
        return self._view(capture, restored, hole)

    def _pass_through(self, capture: Capture, eyes: EyePair, reason: Status) -> PipelineView:
        """Let the camera's frame pass as it is; an old face is never repeated."""
        if self._warm_frames:
            log.info("%s: passing the camera's frames", reason.value)
            self.reset()
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
            landmark_source=self._tracker.name,
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


def _gaze(eyes: EyePair) -> Float32Array:
    straight = np.zeros(2, np.float32)
    return np.stack([straight if eye is None else eye.gaze for eye in eyes])


def _openness(eyes: EyePair) -> Float32Array:
    """An eye that is not seen counts as open and still."""
    return np.array([1.0 if eye is None else eye.openness for eye in eyes], np.float32)
