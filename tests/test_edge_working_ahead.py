from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from test_edge_pipeline import MS, SIZE, Inbox, face_mesh

from edge.eyes.fusion import EyeFusion
from edge.pipeline import Pipeline, Prepared
from edge.profile import EyeCalibration
from edge.records import Capture, FaceTrack, PipelineView
from edge.settings import Landmarks
from edge.timing import StageTimes
from edge.working_ahead import Frames, Gate, WorkingAhead
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
    """Fills with the number of frames it remembers, in each of its halves."""

    name = "counting"

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.starts_afresh = True

    def fill(self, crop: ImageU8, hidden: ImageU8, mesh: Float32Array) -> ImageU8:
        return self.begin(crop, hidden, mesh)()

    def begin(self, crop: ImageU8, hidden: ImageU8, mesh: Float32Array) -> Callable[[], ImageU8]:
        self.begun += 1
        number, starts_afresh, self.starts_afresh = self.begun, self.starts_afresh, False

        def end() -> ImageU8:
            self.ended = 1 if starts_afresh else self.ended + 1
            assert self.ended == number
            return np.where(hidden[..., None] > 0, np.uint8(number), crop)

        return end

    def reset(self) -> None:
        self.begun = 0
        self.starts_afresh = True


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


def as_it_is(seen: Capture) -> Capture:
    return seen


def number(taken: Capture | None) -> int:
    assert taken is not None
    return taken.frame.frame_id


def all_of(
    prepared: Frames[Prepared], restore: Callable[[Prepared], PipelineView]
) -> list[PipelineView]:
    views = []
    while True:
        has_ended = prepared.has_ended
        frame = prepared.take(0.1)
        if frame is not None:
            views.append(restore(frame))
        elif has_ended:
            return views


def overlapped(
    frames: Frames[Capture], pipeline: Pipeline, restore: Callable[[Prepared], PipelineView]
) -> list[PipelineView]:
    """All frames, with each part of their way on a thread of its own."""
    tracking = WorkingAhead(frames, pipeline.track, "tracking")
    with tracking, WorkingAhead(tracking, pipeline.prepare, "preparing") as prepared:
        return all_of(prepared, restore)


def test_running_ahead_changes_no_frame() -> None:
    one_by_one, ahead = Bench(), Bench()
    expected, notes = [], []
    for each in scripted():
        expected.append(one_by_one.pipeline.process(each))
        notes.append(one_by_one.pipeline.note)

    told = []

    def restore(prepared: Prepared) -> PipelineView:
        view = ahead.pipeline.restore(prepared)
        told.append(ahead.pipeline.note)
        return view

    found = overlapped(Waiting(scripted()), ahead.pipeline, restore)
    assert len(found) == len(expected) == 44
    assert told == notes == [f"frame {i}" for i in range(44)]
    for one, other in zip(expected, found, strict=True):
        assert one.restored.status == other.restored.status
        assert np.array_equal(one.restored.image, other.restored.image)
        assert np.array_equal(one.restored.landmarks, other.restored.landmarks)
        assert one.restored.frame_id == other.restored.frame_id
    # Start, gap, face lost, headset off, clock; another person in view moves no face.
    assert one_by_one.tracker.resets == ahead.tracker.resets == [-1, 9, 14, 20, 39]
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
    prepared = [bench.pipeline.prepare(each) for each in (tracked, later)]
    views = [bench.pipeline.restore(each) for each in prepared]
    assert [view.restored.landmark_source for view in views] == ["oracle", "mediapipe"]


def test_a_part_works_on_the_next_frame_while_one_waits_and_on_none_after_it() -> None:
    begun: list[int] = []
    has_two = threading.Event()

    def work(seen: Capture) -> Capture:
        begun.append(seen.frame.frame_id)
        if seen.frame.frame_id == 2:
            has_two.set()
        return seen

    frames = Waiting([capture(i) for i in (1, 2, 3, 4)])
    with WorkingAhead(frames, work, "work") as ahead:
        assert number(ahead.take(LONG_S)) == 1
        assert has_two.wait(LONG_S)
        assert not ahead.has_ended
        assert begun == [1, 2]
        assert [c.frame.frame_id for c in frames.captures] == [3, 4]
        assert number(ahead.take(LONG_S)) == 2


def test_frames_wait_at_the_gate_where_a_newer_one_takes_their_place() -> None:
    camera = Live()
    gate = Gate(camera, 2)
    first = WorkingAhead(gate, as_it_is, "first")
    with first, WorkingAhead(first, as_it_is, "second") as second:
        for frame_id in (1, 2):
            camera.put(frame_id)
            assert number(second.take(LONG_S)) == frame_id
        camera.put(3)
        camera.put(4)
        assert second.take(0.3) is None  # 1 and 2 are still on their way
        gate.leave()
        assert number(second.take(LONG_S)) == 4
        assert camera.slot.drops == 1
        camera.put(5)
        assert second.take(0.3) is None
        gate.leave()
        assert number(second.take(LONG_S)) == 5


def test_the_last_frame_is_waited_for_while_the_gate_is_full() -> None:
    gate = Gate(Waiting([capture(1), capture(2)]), 1)
    assert number(gate.take(LONG_S)) == 1
    assert gate.take(0.01) is None  # no place, which is not the end
    assert not gate.has_ended
    gate.leave()
    assert number(gate.take(LONG_S)) == 2
    assert not gate.has_ended
    gate.leave()
    assert gate.has_ended


def test_no_frame_is_lost_at_the_end_however_slow_the_last_part_is() -> None:
    gate = Gate(Waiting([capture(i) for i in range(5)]), 2)
    seen = []
    with WorkingAhead(gate, as_it_is, "work") as ahead:
        while (taken := ahead.take(LONG_S)) is not None:
            seen.append(number(taken))
            time.sleep(0.25)  # longer than the part before waits for a place
            gate.leave()
    assert seen == [0, 1, 2, 3, 4]


def test_a_silent_camera_keeps_no_place_taken() -> None:
    camera = Live()
    gate = Gate(camera, 1)
    assert [gate.take(0.01) for _ in range(3)] == [None] * 3
    camera.put(1)
    assert number(gate.take(LONG_S)) == 1
    camera.put(2)
    assert gate.take(0.01) is None
    gate.leave()
    assert number(gate.take(LONG_S)) == 2


def test_what_fails_is_raised_after_the_frames_before_it() -> None:
    def work(seen: Capture) -> Capture:
        if seen.frame.frame_id == 3:
            raise UserError("No oracle here.", "Leave it out.")
        return seen

    frames = [capture(i) for i in (1, 2, 3, 4)]
    with WorkingAhead(Waiting(frames), work, "work") as ahead:
        assert [number(ahead.take(LONG_S)) for _ in range(2)] == [1, 2]
        with pytest.raises(UserError, match="No oracle"):
            ahead.take(LONG_S)
    lost = UserError("The file is damaged.", "Repair it.")
    with WorkingAhead(Waiting(frames[:2], lost), as_it_is, "work") as ahead:
        assert [number(ahead.take(LONG_S)) for _ in range(2)] == [1, 2]
        with pytest.raises(UserError, match="damaged"):
            ahead.take(LONG_S)


def test_the_last_frame_is_handed_over_before_the_end_is_told() -> None:
    with WorkingAhead(Waiting([capture(7)]), as_it_is, "work") as ahead:
        assert number(ahead.take(LONG_S)) == 7
        assert ahead.take(LONG_S) is None
        assert ahead.has_ended


@pytest.mark.parametrize("frames", [0, 1, 3], ids=["camera silent", "one waits", "more wait"])
def test_it_stops_wherever_it_is(frames: int) -> None:
    camera = Live()
    taken = threading.Event()

    def work(seen: Capture) -> Capture:
        taken.set()
        return seen

    with WorkingAhead(camera, work, "work") as ahead:
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
    restored = bench.pipeline.restore(bench.pipeline.prepare(tracked)).restored
    assert Status.STALE_EYES not in restored.status
    assert restored.openness.tolist() == pytest.approx([0.25, 0.25])


def test_each_part_is_timed_for_its_own_frame_on_its_own_thread() -> None:
    spans = SpanRecorder()
    bench = Bench(StageTimes(spans=spans))
    overlapped(Waiting(scripted()), bench.pipeline, bench.pipeline.restore)
    stages = ("track", "fuse", "publish")
    frames = {name: [s[4] for s in spans._spans if s[0] == name] for name in stages}
    assert frames["track"] == frames["fuse"] == frames["publish"] == list(range(44))
    threads = {name: {s[5] for s in spans._spans if s[0] == name} for name in stages}
    assert len(threads["track"] | threads["fuse"] | threads["publish"]) == 3


def test_tracker_and_filler_share_the_cores() -> None:
    assert [threads_by_cores(cores) for cores in (1, 2, 4, 6, 64)] == [1, 1, 2, 3, 4]
    assert session_options(0).intra_op_num_threads >= 1
    assert session_options(3).intra_op_num_threads == 3
