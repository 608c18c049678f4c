from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from test_edge_pipeline import MS, SIZE, Inbox, face_mesh

from edge.eyes.fusion import EyeFusion
from edge.pipeline import Pipeline
from edge.profile import EyeCalibration
from edge.records import Capture, FaceTrack, PipelineView, Tracked
from edge.settings import Landmarks
from edge.timing import StageTimes
from edge.tracking_ahead import TrackingAhead
from models.engine.onnx import session_options, threads_by_cores
from streaming.errors import UserError
from streaming.records import EyeParameters, Float32Array, Frame, ImageU8, Side, Status
from streaming.slot import Latest
from streaming.spans import SpanRecorder

LONG_S = 20.0  # how long a test waits for what should come at once


class CountingTracker:
    """Remembers how many frames it has seen, and shows it in the mesh; frame 0 is black."""

    name: Landmarks = "oracle"

    def __init__(self) -> None:
        self.note = ""
        self.seen = 0
        self.resets: list[int] = []  # the frame after which each reset came
        self.frame_id = -1

    def track(self, capture: Capture) -> FaceTrack | None:
        self.frame_id = capture.frame.frame_id
        self.seen += 1
        self.note = f"frame {self.frame_id}"
        what = int(capture.frame.image[0, 0, 0])
        if what == NO_FACE:
            return None
        mesh = face_mesh() + np.float32(0.1 * self.seen)
        mask = np.zeros(capture.frame.image.shape[:2], np.uint8)
        if what != BARE:
            mask[40:60, 50:110] = 1
        crop = np.array([[1.5, 0, 30], [0, 1.5, 10]], np.float32)
        return FaceTrack(mesh, np.ones(478, np.bool_), mask, crop, 1.0)

    def reset(self) -> None:
        self.seen = 0
        self.resets.append(self.frame_id)

    def close(self) -> None:
        """Nothing to free."""


class CountingFiller:
    """Fills with the number of frames it remembers."""

    name = "counting"

    def __init__(self) -> None:
        self.seen = 0

    def fill(self, crop: ImageU8, hidden: ImageU8, mesh: Float32Array) -> ImageU8:
        self.seen += 1
        return np.where(hidden[..., None] > 0, np.uint8(self.seen), crop)

    def reset(self) -> None:
        self.seen = 0


class Owner:
    """Somebody else's frames begin at 24 and end at 30, and show only after they were sent."""

    note = ""
    is_wrong = False

    def watch(self, frame: Frame, track: FaceTrack | None) -> None:
        self.is_wrong = 24 <= frame.frame_id < 30


NO_FACE, BARE = 1, 2


def scripted() -> list[Capture]:
    """Faces that leave and come back, a headset taken off, gaps, a clock that jumps back."""
    captures, time_ns = [], 10_000 * MS
    for frame_id in range(44):
        time_ns += {10: 700, 40: -900}.get(frame_id, 40) * MS
        image = np.random.default_rng(frame_id).integers(9, 256, (120, 160, 3), np.uint8)
        kind = NO_FACE if 14 <= frame_id < 17 else BARE if 20 <= frame_id < 22 else 9
        image[0, 0] = kind
        captures.append(Capture(Frame(frame_id, time_ns, image)))
    return captures


class Bench:
    def __init__(self, times: StageTimes | None = None) -> None:
        self.tracker, self.inbox = CountingTracker(), Inbox()
        self.eyes = EyeFusion((EyeCalibration(), EyeCalibration()), 100 * MS)
        self.pipeline = Pipeline(
            self.tracker,
            self.eyes,
            CountingFiller(),
            self.inbox,
            [],
            times or StageTimes(),
            person=Owner(),
            size_px=SIZE,
        )


class Waiting:
    """Captures that wait in order, as those of an unpaced file."""

    def __init__(self, captures: list[Capture], error: Exception | None = None) -> None:
        self.captures, self.error = list(captures), error

    @property
    def has_ended(self) -> bool:
        return not self.captures

    def take(self, timeout_s: float) -> Capture | None:
        if not self.captures and self.error is not None:
            raise self.error
        return self.captures.pop(0) if self.captures else None


class Live:
    """A camera whose newest frame wins; the test puts them in."""

    has_ended = False

    def __init__(self) -> None:
        self.slot: Latest[Capture] = Latest()

    def take(self, timeout_s: float) -> Capture | None:
        return self.slot.take(timeout_s)

    def put(self, frame_id: int) -> None:
        self.slot.put(capture(frame_id))


def capture(frame_id: int) -> Capture:
    return Capture(Frame(frame_id, frame_id * 40 * MS, np.zeros((4, 4, 3), np.uint8)))


def as_it_is(seen: Capture) -> Tracked:
    return Tracked(seen, None, False, "", "oracle")


def number(tracked: Tracked | None) -> int:
    assert tracked is not None
    return tracked.capture.frame.frame_id


def all_of(ahead: TrackingAhead, restore: Callable[[Tracked], PipelineView]) -> list[PipelineView]:
    views = []
    while True:
        has_ended = ahead.has_ended
        tracked = ahead.take(0.1)
        if tracked is not None:
            views.append(restore(tracked))
        elif has_ended:
            return views


def test_running_ahead_changes_no_frame() -> None:
    one_by_one, overlapped = Bench(), Bench()
    expected, notes = [], []
    for each in scripted():
        expected.append(one_by_one.pipeline.process(each))
        notes.append(one_by_one.pipeline.note)

    told = []

    def restore(tracked: Tracked) -> PipelineView:
        view = overlapped.pipeline.restore(tracked)
        told.append(overlapped.pipeline.note)
        return view

    with TrackingAhead(Waiting(scripted()), overlapped.pipeline.track) as ahead:
        found = all_of(ahead, restore)
    assert len(found) == len(expected) == 44
    assert told == notes == [f"frame {i}" for i in range(44)]
    for one, other in zip(expected, found, strict=True):
        assert one.restored.status == other.restored.status
        assert np.array_equal(one.restored.image, other.restored.image)
        assert np.array_equal(one.restored.landmarks, other.restored.landmarks)
        assert one.restored.frame_id == other.restored.frame_id
    # Start, gap, face lost, headset off, clock; another person in view moves no face.
    assert one_by_one.tracker.resets == overlapped.tracker.resets == [-1, 9, 14, 20, 39]
    by_frame = [view.restored.status[0] for view in found]
    assert by_frame[14] is Status.NO_FACE
    assert by_frame[21] is Status.NO_HEADSET
    assert [s is Status.WRONG_PERSON for s in by_frame[23:32]] == [False] * 2 + [True] * 6 + [False]
    # What the filler remembers counts in its fill: all of it was forgotten at each of those.
    fills = {
        i: int(view.restored.crop.min()) for i, view in enumerate(found) if view.hidden is not None
    }
    assert [fills[i] for i in (0, 9, 10, 13, 17, 22, 31, 40)] == [1, 10, 1, 4, 1, 1, 1, 1]


def test_a_frame_names_the_tracker_that_looked_at_it_and_not_the_next_ones() -> None:
    bench, (first, second, *_) = Bench(), scripted()
    tracked = bench.pipeline.track(first)
    bench.tracker.name = "mediapipe"  # it goes over to another cover with the next frame
    later = bench.pipeline.track(second)
    assert bench.pipeline.restore(tracked).restored.landmark_source == "oracle"
    assert bench.pipeline.restore(later).restored.landmark_source == "mediapipe"


def test_the_next_frame_is_tracked_while_one_is_restored_and_none_after_it() -> None:
    begun: list[int] = []
    tracked_two = threading.Event()

    def track(seen: Capture) -> Tracked:
        begun.append(seen.frame.frame_id)
        if seen.frame.frame_id == 2:
            tracked_two.set()
        return as_it_is(seen)

    frames = Waiting([capture(i) for i in (1, 2, 3, 4)])
    with TrackingAhead(frames, track) as ahead:
        assert number(ahead.take(LONG_S)) == 1
        # Frame 1 counts as being restored until the next one is asked for.
        assert tracked_two.wait(LONG_S)
        assert not ahead.has_ended
        assert begun == [1, 2]
        assert [c.frame.frame_id for c in frames.captures] == [3, 4]
        assert number(ahead.take(LONG_S)) == 2


def test_an_idle_restorer_gets_the_newest_frame_at_once_and_a_busy_one_just_in_time() -> None:
    now = [100.0]
    begun: list[int] = []

    def track(seen: Capture) -> Tracked:
        now[0] += 10.0
        begun.append(seen.frame.frame_id)
        return as_it_is(seen)

    camera = Live()
    with TrackingAhead(camera, track, clock=lambda: now[0]) as ahead:
        camera.put(1)
        assert number(ahead.take(LONG_S)) == 1  # nobody knew how long restoring would take
        now[0] += 3600.0
        assert ahead.take(0.0) is None
        camera.put(2)
        assert number(ahead.take(LONG_S)) == 2  # idle: at once
        # Restoring takes an hour by now, tracking seconds: the next frame can be a later one.
        camera.put(3)
        camera.put(4)
        camera.put(5)
        assert begun == [1, 2]
        assert number(ahead.take(LONG_S)) == 5
        assert begun == [1, 2, 5]
        assert camera.slot.drops == 2


def test_what_fails_is_raised_after_the_frames_before_it() -> None:
    def track(seen: Capture) -> Tracked:
        if seen.frame.frame_id == 3:
            raise UserError("No oracle here.", "Leave it out.")
        return as_it_is(seen)

    frames = [capture(i) for i in (1, 2, 3, 4)]
    with TrackingAhead(Waiting(frames), track) as ahead:
        assert [number(ahead.take(LONG_S)) for _ in range(2)] == [1, 2]
        with pytest.raises(UserError, match="No oracle"):
            ahead.take(LONG_S)
    lost = UserError("The file is damaged.", "Repair it.")
    with TrackingAhead(Waiting(frames[:2], lost), as_it_is) as ahead:
        assert [number(ahead.take(LONG_S)) for _ in range(2)] == [1, 2]
        with pytest.raises(UserError, match="damaged"):
            ahead.take(LONG_S)


def test_the_last_frame_is_handed_over_before_the_end_is_told() -> None:
    with TrackingAhead(Waiting([capture(7)]), as_it_is) as ahead:
        assert number(ahead.take(LONG_S)) == 7
        assert ahead.take(LONG_S) is None
        assert ahead.has_ended


@pytest.mark.parametrize("frames", [0, 1, 3], ids=["camera silent", "one waits", "more wait"])
def test_it_stops_wherever_it_is(frames: int) -> None:
    camera = Live()
    taken = threading.Event()

    def track(seen: Capture) -> Tracked:
        taken.set()
        return as_it_is(seen)

    with TrackingAhead(camera, track) as ahead:
        for index in range(frames):
            camera.put(index)
        if frames:
            assert taken.wait(LONG_S)
    assert ahead.has_ended


def test_eyes_seen_while_a_frame_waited_are_in_it() -> None:
    bench = Bench()
    seen = scripted()[0]
    tracked = bench.pipeline.track(seen)
    for side in Side:
        values = EyeParameters(side, seen.frame.capture_time_ns, 0.25, np.zeros(2, np.float32))
        bench.eyes.observe(values)
    restored = bench.pipeline.restore(tracked).restored
    assert Status.STALE_EYES not in restored.status
    assert restored.openness.tolist() == pytest.approx([0.25, 0.25])


def test_another_profile_starts_the_tracker_afresh_with_the_frame_after_the_one_on_its_way() -> (
    None
):
    bench, (first, second, third, *_) = Bench(), scripted()
    bench.pipeline.restore(bench.pipeline.track(first))
    on_its_way = bench.pipeline.track(second)
    other = CountingFiller()
    bench.pipeline.use_filler(other)
    assert int(bench.pipeline.restore(on_its_way).restored.crop.min()) == 1
    bench.pipeline.process(third)
    assert bench.tracker.resets == [-1, 1]
    assert other.seen == 2


def test_each_half_is_timed_for_its_own_frame_on_its_own_thread() -> None:
    spans = SpanRecorder()
    bench = Bench(StageTimes(spans=spans))
    with TrackingAhead(Waiting(scripted()), bench.pipeline.track) as ahead:
        all_of(ahead, bench.pipeline.restore)
    frames = {name: [s[4] for s in spans._spans if s[0] == name] for name in ("track", "publish")}
    assert frames["track"] == frames["publish"] == list(range(44))
    threads = {name: {s[5] for s in spans._spans if s[0] == name} for name in ("track", "publish")}
    assert len(threads["track"] | threads["publish"]) == 2


def test_tracker_and_filler_share_the_cores() -> None:
    assert [threads_by_cores(cores) for cores in (1, 2, 4, 6, 64)] == [1, 1, 2, 3, 4]
    assert session_options(0).intra_op_num_threads >= 1
    assert session_options(3).intra_op_num_threads == 3
