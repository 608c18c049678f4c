from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edge.bare_face_trackers import OracleTracker
from edge.covers.cover_trackers import MindingTracker
from edge.covers.witnesses import AGREEING, EVERY
from edge.eyes.fusion import EyeFusion
from edge.eyes.lids import LidMover
from edge.pipeline import Pipeline
from edge.profile import EyeCalibration
from edge.records import Capture, CoverKind, FaceTrack, PipelineView, Truth
from edge.timing import StageTimes
from models.contract import RECEPTIVE_FRAMES
from models.face.mesh import FACE_OVAL
from streaming.records import (
    EyeObservation,
    Float32Array,
    Frame,
    ImageU8,
    RestoredFace,
    Side,
    Status,
)

MS = 1_000_000
SIZE = 64


class GreenFiller:
    """Fills with green and counts what it was asked."""

    name = "green"

    def __init__(self) -> None:
        self.resets = 0
        self.since_reset = 0

    def fill(self, crop: ImageU8, hidden: ImageU8, mesh: Float32Array) -> ImageU8:
        self.since_reset += 1
        assert crop.shape == (SIZE, SIZE, 3)
        assert hidden.shape == (SIZE, SIZE)
        return np.where(hidden[..., None] > 0, np.array([0, 255, 0], np.uint8), crop)

    def reset(self) -> None:
        self.resets += 1
        self.since_reset = 0


class RestartingFiller(GreenFiller):
    """One whose engine may be replaced by another."""

    restarts = 0


class Inbox:
    """A publisher and sink that keep what they get."""

    def __init__(self) -> None:
        self.paused = False
        self.sent: list[RestoredFace] = []
        self.shown: list[PipelineView] = []

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        if not self.paused:
            self.sent.append(face)

    def show(self, view: PipelineView) -> None:
        self.shown.append(view)

    def close(self) -> None:
        """Nothing to close."""


class Bench:
    """A pipeline with fakes around it, fed by hand."""

    def __init__(self) -> None:
        self.filler, self.inbox = GreenFiller(), Inbox()
        self.eyes = EyeFusion((EyeCalibration(), EyeCalibration()), 100 * MS)
        self.times = StageTimes()
        self.pipeline = Pipeline(
            OracleTracker(SIZE),
            self.eyes,
            self.filler,
            self.inbox,
            [self.inbox],
            self.times,
            size_px=SIZE,
        )
        self.frame_id = 0
        self.time_ns = 10_000 * MS

    def step(
        self, *, has_face: bool = True, has_headset: bool = True, pause_ms: int = 40
    ) -> PipelineView:
        self.frame_id += 1
        self.time_ns += pause_ms * MS
        bare = np.random.default_rng(self.frame_id).integers(0, 256, (120, 160, 3), np.uint8)
        mask = np.zeros((120, 160), np.uint8)
        if has_face and has_headset:
            mask[40:60, 50:110] = 1
        worn = bare.copy()
        worn[mask > 0] = 3
        mesh = face_mesh() if has_face else None
        frame = Frame(self.frame_id, self.time_ns, worn)
        return self.pipeline.process(Capture(frame, Truth(bare, mesh, mask, ())))


def face_mesh() -> Float32Array:
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, :2] = (80, 60)
    angles = np.linspace(0, 2 * np.pi, len(FACE_OVAL))
    mesh[list(FACE_OVAL), :2] += np.stack([25 * np.cos(angles), 32 * np.sin(angles)], axis=1)
    return mesh


def test_the_headset_is_replaced_and_the_rest_is_the_cameras() -> None:
    bench = Bench()
    view = bench.step()
    assert view.hidden is not None
    assert view.truth is not None
    restored, camera = view.restored.image, view.camera.image
    assert (restored[45:55, 60:100] == (0, 255, 0)).all()
    assert (restored[view.hidden == 0] == camera[view.hidden == 0]).all()
    assert bench.inbox.sent == [view.restored]
    assert bench.inbox.shown == [view]


def test_the_capture_time_and_the_sources_travel_unchanged() -> None:
    bench = Bench()
    face = bench.step().restored
    assert (face.frame_id, face.capture_time_ns) == (bench.frame_id, bench.time_ns)
    assert face.publish_time_ns > 0
    assert (face.filler, face.landmark_source) == ("green", "oracle")


def test_it_is_warming_until_the_network_has_seen_enough() -> None:
    bench = Bench()
    statuses = [bench.step().restored.status[0] for _ in range(RECEPTIVE_FRAMES + 2)]
    assert statuses == [Status.WARMING] * (RECEPTIVE_FRAMES - 1) + [Status.LIVE] * 3


def test_a_face_that_leaves_passes_untouched_and_comes_back_to_fresh_states() -> None:
    bench = Bench()
    for _ in range(20):
        bench.step()
    before = bench.filler.resets
    gone = [bench.step(has_face=False) for _ in range(3)]
    assert bench.filler.resets == before + 1
    for view in gone:
        assert view.restored.status == (Status.NO_FACE,)
        assert view.restored.image is view.camera.image
        assert view.restored.filler == "none"
        assert view.restored.landmarks.shape == (0, 3)
        assert view.hidden is None
    back = bench.step()
    assert back.restored.status[0] is Status.WARMING
    assert bench.filler.since_reset == 1


def test_without_a_headset_the_frame_passes_and_says_so() -> None:
    view = Bench().step(has_headset=False)
    assert view.restored.status == (Status.NO_HEADSET,)
    assert view.restored.image is view.camera.image


@pytest.mark.parametrize(("pause_ms", "is_reset"), [(80, False), (499, False), (501, True)])
def test_only_a_long_gap_between_frames_resets(pause_ms: int, is_reset: bool) -> None:
    bench = Bench()
    for _ in range(20):
        bench.step()
    before = bench.filler.resets
    view = bench.step(pause_ms=pause_ms)
    assert (bench.filler.resets > before) is is_reset
    assert view.restored.status[0] is (Status.WARMING if is_reset else Status.LIVE)


def test_it_is_warming_anew_when_another_engine_takes_over() -> None:
    bench, filler = Bench(), RestartingFiller()
    bench.pipeline = Pipeline(
        OracleTracker(SIZE), bench.eyes, filler, bench.inbox, [], bench.times, size_px=SIZE
    )
    for _ in range(RECEPTIVE_FRAMES):
        before = bench.step().restored.status[0]
    filler.restarts += 1
    statuses = [bench.step().restored.status[0] for _ in range(RECEPTIVE_FRAMES + 1)]
    assert before is Status.LIVE
    assert statuses == [Status.WARMING] * (RECEPTIVE_FRAMES - 1) + [Status.LIVE] * 2


def test_a_clock_that_jumps_back_resets() -> None:
    bench = Bench()
    bench.step()
    before = bench.filler.resets
    bench.step(pause_ms=-1000)
    assert bench.filler.resets == before + 1


def test_while_paused_nothing_is_sent_and_the_preview_says_why() -> None:
    bench = Bench()
    bench.step()
    bench.inbox.paused = True
    view = bench.step()
    assert Status.PAUSED in view.restored.status
    assert len(bench.inbox.sent) == 1
    bench.inbox.paused = False
    assert Status.PAUSED not in bench.step().restored.status
    assert len(bench.inbox.sent) == 2


def test_without_eye_cameras_it_still_renders_with_open_eyes() -> None:
    view = Bench().step()
    assert Status.STALE_EYES in view.restored.status
    assert view.restored.openness.tolist() == [1.0, 1.0]
    assert not view.restored.gaze.any()


def test_eyes_seen_at_the_capture_time_reach_the_client() -> None:
    bench = Bench()
    ring = np.array([64, 48, 20, 20, 0], np.float32)
    x = np.linspace(0, 128, 9)
    lids = np.stack([np.stack([x, np.full(9, y)], axis=1) for y in (40, 56)]).astype(np.float32)
    for side in Side:
        seen = EyeObservation(
            side=side,
            capture_time_ns=bench.time_ns + 40 * MS,
            lids=lids,
            pupil=ring,
            iris=ring,
            blink=0.0,
            confidence=1.0,
        )
        bench.eyes.observe(seen)
    status = bench.step().restored.status
    assert Status.STALE_EYES not in status
    assert Status.ONE_EYE not in status


def test_every_stage_is_timed() -> None:
    bench = Bench()
    bench.step()
    wanted = {"track", "fuse", "prepare", "fill", "composite", "publish", "show"}
    wanted |= {"identity", "light"}
    summary = bench.times.summary()
    assert set(summary) == wanted
    assert set(summary["fill"]) == {"p50", "p95", "p99", "max"}


@pytest.mark.parametrize("cover", ["headset", "face-mask"])
def test_the_wrong_cover_passes_through_and_is_called_so(cover: CoverKind) -> None:
    bench = Bench()
    tracker = MindingTracker(OracleTracker(SIZE, cover), cover, AlwaysSeen())
    bench.pipeline._tracker = tracker
    views = [bench.step(has_headset=False) for _ in range(EVERY * (AGREEING + 1))]
    last = views[-1]
    assert last.restored.status == (Status.COVER_MISMATCH,)
    assert (last.restored.image == last.camera.image).all()
    assert last.restored.landmarks.size == 0
    assert "start with --cover" in bench.pipeline.note


def test_behind_a_face_mask_the_picture_is_plausible_and_no_lid_is_moved() -> None:
    bench = Bench()
    bench.pipeline._tracker = OracleTracker(SIZE, "face-mask")
    bench.pipeline._lids = LidMover(face_mesh())
    for _ in range(RECEPTIVE_FRAMES):
        face = bench.step().restored
    assert face.status == (Status.PLAUSIBLE,)
    np.testing.assert_array_equal(face.landmarks, face_mesh())


class AlwaysSeen:
    """A witness of the other cover."""

    def sees(self, image: ImageU8, track: FaceTrack | None) -> Float32Array:
        return face_mesh()
