"""The tracker's behaviour in a drawn world: heads are grey squares, white ones wear a headset."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import pytest
from drawn_face import scene

from edge.headset_tracker import SCAN_FRAMES, HeadsetTracker
from edge.records import Capture
from models.face.alignment import head_box
from models.face_fit import WearerFit
from models.headset.contract import CROP_SHARE, MASK_PX, SIZE_PX
from models.headset.head_crop import HeadCrop
from models.headset.reader import FoundHead, HeadsetReader, HeadsetReading
from streaming.records import Frame

FRAME_NS = 33_000_000
BARE, WORN = 150, 250
DRAWN = 0.6  # of the head box: the crop still holds a head that has moved on
SHAPE = (360, 640)


@dataclass(frozen=True)
class Person:
    x: float
    worn: bool = True
    side: float = 150.0


class DrawnWorldReader:
    """Sees grey squares as heads; knows nothing of the frame, only of the crop."""

    def __init__(self, mesh: np.ndarray) -> None:
        box = head_box(mesh)
        # In units of the head box, around its middle.
        self.shape = (mesh - [*box.centre, 0]) / box.side_px
        self.crops = 0

    def read(self, crop: np.ndarray) -> HeadsetReading:
        assert crop.shape == (SIZE_PX, SIZE_PX, 3)
        self.crops += 1
        grey = crop[..., 0]
        _, _, stats, _ = cv2.connectedComponentsWithStats((grey > 100).astype(np.uint8))
        heads = []
        for left, top, width, height, area in stats[1:]:
            if area > 20 and 0.7 < width / height < 1.4:
                middle = np.array([left + width / 2, top + height / 2], np.float32)
                worn = float(grey[int(middle[1]), int(middle[0])] > 200)
                heads.append(FoundHead(middle / SIZE_PX, width / SIZE_PX / DRAWN, 0.95, worn))
        nearest = min(heads, key=lambda h: float(np.abs(h.centre - 0.5).max()), default=None)
        is_face = nearest is not None and 0.6 < nearest.side / CROP_SHARE < 1.3
        is_face = is_face and bool(np.abs(nearest.centre - 0.5).max() < 0.2)
        mesh = np.zeros((478, 3), np.float32)
        mask = np.zeros((MASK_PX, MASK_PX), np.float32)
        if is_face:
            mesh = (self.shape * nearest.side + [*nearest.centre, 0]).astype(np.float32)
            mask[30:50, 20:76] = nearest.headset
        return HeadsetReading(
            mask,
            mesh,
            np.full(478, 0.01, np.float32),
            0.95 if is_face else 0.02,
            nearest.headset if is_face else 0.0,
            tuple(heads),
        )


class World:
    """Draws frames one after the other and lets a tracker see them."""

    def __init__(self, mesh: np.ndarray, person: str = "nearest") -> None:
        self.reader = DrawnWorldReader(mesh)
        self.tracker = HeadsetTracker(128, self.reader, WearerFit(mesh), person)  # type: ignore[arg-type]
        self.index = 0

    def see(self, *people: Person, frames: int = 1):  # type: ignore[no-untyped-def]
        for _ in range(frames):
            image = np.zeros((*SHAPE, 3), np.uint8)
            for person in people:
                drawn = DRAWN * person.side
                x, y, side = (round(v) for v in (person.x - drawn / 2, 180 - drawn / 2, drawn))
                image[y : y + side, x : x + side] = WORN if person.worn else BARE
            self.index += 1
            track = self.tracker.track(Capture(Frame(self.index, self.index * FRAME_NS, image)))
        return track


@pytest.fixture
def world(posed_mesh) -> World:  # type: ignore[no-untyped-def]
    return World(posed_mesh())


def x_of(track) -> float:  # type: ignore[no-untyped-def]
    return float(head_box(track.mesh).centre[0])


def test_a_wearer_is_found_in_the_first_frame(world: World) -> None:
    track = world.see(Person(400))
    assert x_of(track) == pytest.approx(400, abs=8)
    assert track.mask.any()
    assert not track.visible.all()


def test_a_moving_head_is_followed_without_searching_again(world: World) -> None:
    for x in range(150, 480, 12):
        track = world.see(Person(float(x)))
        assert x_of(track) == pytest.approx(x, abs=12)
    assert world.tracker.searches == 1


def test_while_following_one_crop_is_read_and_a_second_only_now_and_then(world: World) -> None:
    world.see(Person(300))
    counts = []
    for _ in range(3 * SCAN_FRAMES):
        before = world.reader.crops
        world.see(Person(300))
        counts.append(world.reader.crops - before)
    assert max(counts) == 2
    assert counts.count(2) == 3
    assert all(a + b < 4 for a, b in pairwise(counts))


def test_nobody_in_view_is_told_at_once_and_searched_for_at_leisure(world: World) -> None:
    world.see(Person(300), frames=5)
    assert world.see() is None
    searches = world.tracker.searches
    world.see(frames=9)  # 300 ms
    assert 2 <= world.tracker.searches - searches <= 4


def test_who_comes_back_elsewhere_is_found_within_a_tenth_of_a_second(world: World) -> None:
    world.see(Person(150), frames=5)
    world.see(frames=6)
    tracks = [world.see(Person(500)) for _ in range(4)]
    assert x_of(tracks[-1]) == pytest.approx(500, abs=8)


def test_a_headset_taken_off_empties_the_mask_and_put_on_fills_it(world: World) -> None:
    assert world.see(Person(300), frames=10).mask.any()
    assert not world.see(Person(300, worn=False), frames=10).mask.any()
    assert world.see(Person(300), frames=10).mask.any()


def test_one_frame_of_doubt_does_not_take_the_headset_off(world: World) -> None:
    world.see(Person(300), frames=10)
    world.see(Person(300, worn=False))
    assert world.see(Person(300)).mask.any()


def test_the_wearer_is_followed_and_not_the_bystander_in_front(world: World) -> None:
    track = world.see(Person(140, worn=False, side=200), Person(480))
    assert x_of(track) == pytest.approx(480, abs=8)
    assert "2 people" in world.tracker.note


def test_the_count_of_people_in_view_does_not_flicker(world: World) -> None:
    told = []
    for _ in range(8 * SCAN_FRAMES):
        world.see(Person(140), Person(480))
        told.append(world.tracker.note)
    assert set(told) == {"2 people in view: following the nearest with a headset"}


def test_when_another_person_puts_the_headset_on_that_one_is_followed(world: World) -> None:
    first, second = Person(140, worn=False), Person(480, worn=False)
    track = world.see(first, second, frames=3)
    assert x_of(track) in (pytest.approx(140, abs=8), pytest.approx(480, abs=8))
    other = 480 if x_of(track) < 300 else 140
    people = [Person(float(x), worn=x == other) for x in (140, 480)]
    track = world.see(*people, frames=6 * SCAN_FRAMES)
    assert x_of(track) == pytest.approx(other, abs=8)


def test_nothing_of_the_person_before_is_left_with_the_one_who_wears_it_now(world: World) -> None:
    """Size of the crop and headset probability began with those of the one who took it off."""
    near, far = Person(140, worn=False, side=170), Person(480, worn=True, side=120)
    world.see(near, Person(480, worn=False, side=120), frames=3)
    for _ in range(6 * SCAN_FRAMES):
        track = world.see(near, far)
        if x_of(track) > 300:
            break
    assert track.mask.any()
    assert 128 * track.frame_from_crop[0, 0] == pytest.approx(head_box(track.mesh).side_px, abs=1.5)
    assert x_of(track) == pytest.approx(480, abs=8)


def test_the_chosen_person_is_followed(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    for person, x in (("left", 140), ("right", 480), ("2", 480)):
        track = World(posed_mesh(), person).see(Person(140), Person(480))
        assert x_of(track) == pytest.approx(x, abs=8)


def test_a_number_that_nobody_has_is_told(posed_mesh) -> None:  # type: ignore[no-untyped-def]
    """Else a face in plain view is said not to be there, or one that nobody follows followed."""
    world = World(posed_mesh(), "2")
    assert world.see(Person(480)) is None
    assert world.tracker.note == "only one person is in view: there is no number 2 from the left"
    track = world.see(Person(140), Person(480), frames=4)
    assert x_of(track) == pytest.approx(480, abs=8)
    assert world.tracker.note.startswith("2 people in view: following the")
    world.see(Person(480), frames=4 * SCAN_FRAMES)  # followed on, though alone
    assert world.tracker.note == ""


class KnownPlace:
    """A marker that is always seen, at the place that the test says."""

    def __init__(self) -> None:
        self.x = 0.0
        self.lost = 0

    def guided(self, image, mesh, reading, crop, time_ns):  # type: ignore[no-untyped-def]
        return mesh

    def crop_again(self, image, time_ns):  # type: ignore[no-untyped-def]
        return HeadCrop(np.array([self.x, 180.0], np.float32), 150.0 / CROP_SHARE)

    def lose(self) -> None:
        self.lost += 1

    def forget(self) -> None:
        """Nothing was learned."""


def test_a_head_that_jumps_is_found_again_by_its_marker_without_a_search(world: World) -> None:
    marker = KnownPlace()
    world.tracker._marker = marker  # type: ignore[assignment]
    marker.x = 150.0
    world.see(Person(150), frames=3)
    searches, marker.x = world.tracker.searches, 500.0
    track = world.see(Person(500))
    assert x_of(track) == pytest.approx(500, abs=8)
    assert world.tracker.searches == searches
    assert marker.lost == 1


def test_a_marker_where_no_face_is_leads_nobody_astray(world: World) -> None:
    marker = KnownPlace()
    world.tracker._marker = marker  # type: ignore[assignment]
    marker.x = 560.0
    track = world.see(Person(150), frames=5)
    assert x_of(track) == pytest.approx(150, abs=8)


def odd_frames() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "black": np.zeros((240, 400, 3), np.uint8),
        "white": np.full((240, 400, 3), 255, np.uint8),
        "noise": random.integers(0, 256, (240, 400, 3), np.uint8),
        "tiny": random.integers(0, 256, (2, 3, 3), np.uint8),
        "one pixel": np.zeros((1, 1, 3), np.uint8),
        "a line": random.integers(0, 256, (1, 500, 3), np.uint8),
    }


@pytest.mark.parametrize("name", odd_frames())
def test_the_shipped_network_finds_nobody_in_odd_frames(name: str) -> None:
    tracker = HeadsetTracker(128, HeadsetReader(), None)
    for index in range(5):
        frame = Frame(index, index * 4 * FRAME_NS, odd_frames()[name])
        assert tracker.track(Capture(frame)) is None


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_face_in_any_orientation_breaks_nothing_and_wears_no_headset(turns: int) -> None:
    tracker = HeadsetTracker(128, HeadsetReader(), None)
    image = np.ascontiguousarray(np.rot90(scene((200, 120, 1.3)), turns))
    for index in range(5):
        track = tracker.track(Capture(Frame(index, index * 4 * FRAME_NS, image)))
        if track is not None:
            assert not track.mask.any()
            assert np.isfinite(track.mesh).all()
            assert track.mask.shape == image.shape[:2]
