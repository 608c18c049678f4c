from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest
from saved_profiles import small_profile

from edge.composite import Hole
from edge.plate.alignment import plate_in_frame
from edge.plate.backdrop import Backdrop
from edge.plate.making import plate_of_capture
from edge.plate.part import HeadPlate
from edge.plate.room import MOVED_FRAMES, Room
from edge.profile import Part, load_profile, save_profile, sealing
from models.background.plate import PlateCrop
from models.bank.references import ReferenceBank
from models.preparation import prepare
from models.reference import Reference

SIZE = 64
CROP = np.array([[2, 0, 40.5], [0, 2, 20.5]], np.float32)  # 128 px of the frame


def wall(seed: int = 0, shape: tuple[int, int] = (200, 260)) -> np.ndarray:
    """A room with pictures on the wall."""
    rng = np.random.default_rng(seed)
    image = np.full((*shape, 3), (150, 160, 170), np.uint8)
    for _ in range(60):
        x, y = (int(rng.integers(0, side)) for side in shape[::-1])
        width, height = (int(value) for value in rng.integers(6, 30, 2))
        colour = tuple(int(value) for value in rng.integers(60, 200, 3))
        cv2.rectangle(image, (x, y), (x + width, y + height), colour, -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)


def crop_of(frame: np.ndarray) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(frame, CROP, (SIZE, SIZE), flags=flags), np.uint8)


def person(left: int) -> np.ndarray:
    """Where a crop shows the room beside a person of 24 px."""
    is_room = np.ones((SIZE, SIZE), bool)
    is_room[:, left : left + 24] = False
    return is_room


def learned(frame: np.ndarray) -> Room:
    """A room that was seen to the right and then to the left of the person."""
    room = Room(frame.shape)
    for left in [8] * 6 + [36] * 6:
        room.behind(crop_of(frame), person(left), CROP)
        room.learn(frame, person(left), CROP)
    for _ in range(6):
        room.behind(crop_of(frame), person(36), CROP)
    return room


def test_what_the_head_uncovered_is_known_when_it_is_hidden_again() -> None:
    frame = wall()
    plate = learned(frame).behind(crop_of(frame), person(8), CROP)
    assert plate is not None
    hidden = np.s_[8:-8, 14:26]
    assert plate.known[hidden].min() == 1
    error = np.abs(plate.image.astype(int) - crop_of(frame))[hidden]
    assert error.mean() < 3


def test_the_room_follows_the_exposure_of_the_camera() -> None:
    frame = wall()
    room = learned(frame)
    darker = (frame * 0.8).astype(np.uint8)
    for _ in range(30):
        plate = room.behind(crop_of(darker), person(8), CROP)
    assert plate is not None
    error = plate.image.astype(int) - crop_of(darker)
    assert np.abs(error[8:-8, 14:26]).mean() < 4


@pytest.mark.parametrize("gap_px", [3, 40])
def test_no_line_shows_where_knowledge_ends_or_has_a_gap(gap_px: int) -> None:
    frame = np.full((200, 260, 3), 180, np.uint8)
    known = np.full(frame.shape[:2], 255, np.uint8)
    known[:, 100 : 100 + gap_px] = 0
    room = Room(frame.shape)
    room.seed(np.where(known[..., None] > 0, frame, np.uint8(0)), known)
    for _ in range(6):
        plate = room.behind(crop_of(frame), person(30), CROP + np.array([0, 0, 0.37], np.float32))
    assert plate is not None
    darker = (180 - plate.image.astype(int)) * plate.known[..., None]
    assert np.abs(darker).max() < 2
    assert (plate.known.min() > 0.99) == (gap_px == 3)


def test_no_line_shows_where_a_crop_ended_that_the_room_was_learned_from() -> None:
    """Beyond it the plate is black: none of that may be mixed into what is known."""
    frame = np.full((200, 260, 3), 140, np.uint8)
    room = learned(frame)
    further = CROP + np.array([[0, 0, 29.3], [0, 0, 0]], np.float32)
    plate = room.behind(crop_of(frame), person(8), further)
    assert plate is not None
    assert plate.known.max() == 1
    assert plate.known.min() == 0
    assert plate.image[plate.known > 0.05].min() > 130


def test_a_camera_that_was_moved_is_noticed_without_a_jump_and_the_room_given_up() -> None:
    frame = wall()
    room, elsewhere = learned(frame), wall(seed=1)
    trusts = []
    for _ in range(MOVED_FRAMES):
        plate = room.behind(crop_of(elsewhere), person(8), CROP)
        trusts.append(0.0 if plate is None else float(plate.known.max()))
    assert trusts[-1] == 0
    assert np.abs(np.diff([1, *trusts])).max() <= 0.21
    assert room.is_outdated_for(frame.shape)
    assert not learned(frame).is_outdated_for(frame.shape)


class Matted:
    """Draws a person of 24 px in the middle, and remembers the room that it was given."""

    name, plate = "matted", None

    def __init__(self) -> None:
        matte = np.zeros((SIZE, SIZE), np.float32)
        matte[:, 20:44] = 1
        self.matte: np.ndarray | None = matte
        self.given: list[float] = []

    def fill(self, crop: np.ndarray, hidden: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        self.given.append(0.0 if self.plate is None else float(self.plate.known.max()))
        return crop

    def reset(self) -> None:
        self.plate = None


def seen_behind(backdrop: Backdrop, frame: np.ndarray, frames: int) -> list[float]:
    """How far the room was trusted in each of so many frames."""
    filler, hidden = Matted(), np.zeros((SIZE, SIZE), np.uint8)
    hidden[10:20, 16:48] = 1
    hole = Hole(CROP, hidden, 0, 0, np.zeros((0, 0), np.uint8))
    mesh = np.full((478, 3), SIZE - 1, np.float32)
    for _ in range(frames):
        backdrop.stand_behind(filler, crop_of(frame), hole)
        filler.fill(crop_of(frame), hidden, mesh)
        backdrop.learn(filler, frame, hole, mesh)
    return filler.given


def test_after_a_gap_the_room_has_to_agree_again_before_it_shows() -> None:
    backdrop = Backdrop()
    assert seen_behind(backdrop, wall(), 24)[-1] == 1
    backdrop.reset()  # meanwhile the camera was moved
    assert max(seen_behind(backdrop, wall(seed=1), 5)) == 0
    assert seen_behind(backdrop, wall(), 8)[-1] == 1


def test_nothing_is_known_of_a_room_that_was_never_seen() -> None:
    frame = wall()
    room = Room(frame.shape)
    assert room.behind(crop_of(frame), person(8), CROP) is None


def test_somebody_who_walks_past_does_not_become_the_room() -> None:
    frame = wall()
    room = learned(frame)
    passing = frame.copy()
    passing[:, 130:160] = (20, 20, 20)
    for _ in range(8):
        room.learn(passing, person(8), CROP)
    plate = room.behind(crop_of(frame), person(8), CROP)
    assert plate is not None
    assert np.abs(plate.image.astype(int) - crop_of(frame))[8:-8, 46:58].mean() < 3


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (17, -6)])
def test_the_profiles_room_is_found_where_the_camera_shows_it_now(dx: int, dy: int) -> None:
    plate = wall()
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    frame = cv2.warpAffine(plate, shift, plate.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    everywhere = np.full(plate.shape[:2], 255, np.uint8)
    motion = plate_in_frame(plate, everywhere, np.asarray(frame, np.uint8), everywhere)
    assert motion is not None
    np.testing.assert_allclose(motion[:, 2], (dx, dy), atol=1.0)


def test_another_room_is_not_taken_for_the_profiles() -> None:
    everywhere = np.full((200, 260), 255, np.uint8)
    assert plate_in_frame(wall(0), everywhere, wall(1), everywhere) is None
    blank = np.full((200, 260, 3), 128, np.uint8)
    assert plate_in_frame(wall(0), everywhere, blank, everywhere) is None


def test_the_plate_is_kept_with_the_profile(tmp_path: Path) -> None:
    profile = small_profile(1)
    mattes = tuple(np.full((32, 32), 40 * i, np.uint8) for i in (1, 2))
    room = np.asarray(wall(), np.uint8)
    plate = HeadPlate(room, np.full(room.shape[:2], 255, np.uint8), mattes)
    save_profile(dataclasses.replace(profile, plate=plate), tmp_path / "p")
    loaded = load_profile(tmp_path / "p")
    assert loaded.plate is not None
    np.testing.assert_array_equal(loaded.plate.room, room)
    for view, matte in zip(loaded.views, mattes, strict=True):
        assert view.matte is not None
        np.testing.assert_array_equal(view.matte, matte)


def test_the_room_of_an_encrypted_profile_is_nowhere_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)
    plate = HeadPlate(wall(), np.full(wall().shape[:2], 255, np.uint8), ())
    lock = sealing.Lock.new("correct horse battery")
    save_profile(dataclasses.replace(small_profile(1), plate=plate, lock=lock), tmp_path / "p")
    files = {path.name.split(".")[0]: path for path in (tmp_path / "p").iterdir()}
    assert set(files) == {"profile", "sealed"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.values())
    assert b"plate" not in b"".join(path.read_bytes() for path in files.values())
    loaded = load_profile(tmp_path / "p", "correct horse battery").plate
    assert loaded is not None
    np.testing.assert_array_equal(loaded.room, plate.room)


def test_a_profile_without_a_plate_gives_its_views_as_they_are(tmp_path: Path) -> None:
    save_profile(small_profile(1), tmp_path / "p")
    loaded = load_profile(tmp_path / "p")
    assert loaded.plate is None
    assert loaded.views is loaded.references


@pytest.mark.parametrize(
    ("room", "known"), [((4000, 9), (4000, 9)), ((9, 9), (9, 8)), ((9, 4000), (9, 4000))]
)
def test_a_room_that_no_capture_makes_is_refused(
    room: tuple[int, int], known: tuple[int, int]
) -> None:
    pictures = {"room": np.zeros((*room, 3), np.uint8), "known": np.zeros(known, np.uint8)}
    with pytest.raises(ValueError, match="a room of"):
        HeadPlate.from_part(Part({"mattes": 0}, pictures=pictures))


def test_mattes_of_other_views_are_not_used() -> None:
    plate = HeadPlate(wall(), wall()[..., 0], (np.zeros((16, 16), np.uint8),))
    views = small_profile(1).references
    assert all(view.matte is None for view in plate.matted(views))


def test_hidden_pixels_beside_the_person_show_the_room(canonical_mesh: np.ndarray) -> None:
    size = 96
    low, high = canonical_mesh[:468, :2].min(0), canonical_mesh[:468, :2].max(0)
    mesh = (canonical_mesh - np.array([*(low + high) / 2, 0])) * 50 / (high - low).max()
    mesh[:, :2] += size / 2
    mesh = mesh.astype(np.float32)
    matte = np.zeros((size, size), np.uint8)
    matte[:, 26:70] = 255
    reference = Reference(np.full((size, size, 3), 90, np.uint8), mesh, matte)
    stripes = np.zeros((size, size, 3), np.uint8)
    stripes[::8] = 200
    crop = np.where(matte[..., None] > 0, reference.image, stripes)
    hidden = np.zeros((size, size), np.uint8)
    hidden[30:60, 10:86] = 1
    known = PlateCrop(stripes, np.ones((size, size), np.float32))
    mixture = ReferenceBank([reference], size).mixture(mesh)
    before, bare = (prepare(crop, hidden, mesh, mixture, plate) for plate in (known, None))
    beside = np.s_[34:56, 12:22]
    wrong = [np.abs(each.reference.astype(int) - crop)[beside].mean() for each in (before, bare)]
    assert wrong[0] < 3
    assert wrong[1] > 20
    assert bare.drawn.behind is None


def test_a_plate_is_made_of_what_frames_show_beside_the_person() -> None:
    """MediaPipe sees nobody in a bare room: all of it is known, and it is the median."""
    frames = [np.asarray(wall() + np.uint8(step), np.uint8) for step in (0, 2, 4)]
    view = Reference(wall()[:128, :128], np.zeros((478, 3), np.float32))
    plate = plate_of_capture(frames, [view])
    assert plate is not None
    assert plate.mattes[0].shape == (128, 128)
    known = plate.known > 0
    assert known.mean() > 0.5
    assert np.abs(plate.room.astype(int) - frames[1])[known].max() <= 2
