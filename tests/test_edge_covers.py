"""What covers the face: followed behind a face mask, named when it is the other kind, chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import MeshMaker
from numpy.typing import NDArray
from saved_profiles import small_profile

from edge.covers.cover_trackers import AutoTracker, MindingTracker
from edge.covers.face_mask_tracker import SHORTENED, FaceMaskTracker
from edge.covers.statuses import bare_status, restored_statuses
from edge.covers.witnesses import AGREEING, EVERY, FILLED_EVERY, FaceMaskWitness, Watch
from edge.engine_names import engine_names
from edge.eyes.fusion import neutral_eyes
from edge.records import Capture, CoverKind, FaceTrack
from edge.run import _check
from edge.settings import SessionSettings, override
from models.face.mesh import CHIN, EYES, LIPS_OUTER_LOWER
from models.filling import make_filler
from models.headset.head_crop import crop_of_mesh
from models.lower_face import LowerFace, lengthened
from streaming.errors import UserError
from streaming.records import Float32Array, Frame, Status

FRAME_NS = 40_000_000
SHAPE = (256, 256)
LONG_ENOUGH = EVERY * (AGREEING + 1) + 1


class Mesher:
    """Finds the mesh it is told."""

    def __init__(self, mesh: Float32Array | None) -> None:
        self.mesh = mesh

    def meshes(self, image: NDArray[np.uint8]) -> list[Float32Array]:
        return [] if self.mesh is None else [self.mesh.copy()]

    def close(self) -> None:
        """Nothing to free."""


class LowerHalf:
    """Takes the lower half of every crop for a mask, or nothing."""

    def __init__(self) -> None:
        self.is_worn = True

    def read(self, crop: NDArray[np.uint8]) -> Float32Array:
        mask = np.zeros(crop.shape[:2], np.float32)
        mask[int(0.55 * len(mask)) :] = float(self.is_worn)
        return mask


class Steps:
    """Lets a tracker see one frame after the other."""

    def __init__(self, tracker: MindingTracker | AutoTracker | FaceMaskTracker) -> None:
        self.tracker, self.index = tracker, 0

    def see(self, frames: int = 1) -> FaceTrack | None:
        for _ in range(frames):
            self.index += 1
            image = np.full((*SHAPE, 3), 90, np.uint8)
            track = self.tracker.track(Capture(Frame(self.index, self.index * FRAME_NS, image)))
        return track


@pytest.fixture
def behind_mask(posed_mesh: MeshMaker) -> tuple[Steps, Mesher, LowerHalf]:
    mesh = posed_mesh(span_px=70.0)
    mesher, reader = Mesher(mesh), LowerHalf()
    return Steps(FaceMaskTracker(128, mesher, reader, LowerFace(mesh))), mesher, reader


def a_track(mesh: Float32Array, cover: CoverKind, is_worn: bool) -> FaceTrack:
    mask = np.zeros(SHAPE, np.uint8)
    mask[100:150, 60:200] = is_worn
    return FaceTrack(mesh, np.ones(478, bool), mask, np.eye(2, 3, dtype=np.float32), 1.0, cover)


class Told:
    """A tracker or witness that does as it is told."""

    name = "tracker"
    note = ""
    engine_name = "onnxruntime CPU INT8"

    def __init__(self, answer: Callable[[], object]) -> None:
        self.answer, self.resets = answer, 0

    def track(self, capture: Capture) -> FaceTrack | None:
        return self.answer()  # type: ignore[return-value]

    def sees(self, image: NDArray[np.uint8], track: FaceTrack | None) -> Float32Array | None:
        return self.answer()  # type: ignore[return-value]

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        """Nothing to free."""


def test_the_hidden_lower_face_is_the_wearers_own_and_the_eyes_are_as_seen(
    posed_mesh: MeshMaker,
) -> None:
    own = posed_mesh(span_px=70.0)
    lips, chin = list(LIPS_OUTER_LOWER), [CHIN]
    guessed = own + np.array([9, 4, 0], np.float32)  # the head has moved
    guessed[lips + chin] += np.array([0, 15, 0], np.float32)  # and somebody else's mouth
    tracker = FaceMaskTracker(128, Mesher(guessed), LowerHalf(), LowerFace(own))
    track = Steps(tracker).see()
    assert track is not None
    assert track.cover == "face-mask"
    assert track.mask.any()
    assert not track.visible[lips].any()
    moved = own + np.array([9, 4, 0], np.float32)
    longer = lengthened(moved, ~track.visible, SHORTENED)  # what MediaPipe makes of masked faces
    np.testing.assert_allclose(track.mesh[lips + chin, :2], longer[lips + chin, :2], atol=1.0)
    eyes = [point for eye in EYES for point in eye.upper_lid]
    np.testing.assert_allclose(track.mesh[eyes], guessed[eyes], atol=0.01)


def test_a_reference_is_laid_over_a_turned_and_larger_face(posed_mesh: MeshMaker) -> None:
    reference, seen = posed_mesh(), posed_mesh(roll_deg=12, span_px=110.0, centre=(300, 90))
    laid = LowerFace(reference).posed(seen, np.ones(478, bool))
    np.testing.assert_allclose(laid[:, :2], seen[:, :2], atol=0.5)


def test_a_mask_is_put_on_and_taken_off_not_at_the_first_doubt(
    behind_mask: tuple[Steps, Mesher, LowerHalf],
) -> None:
    steps, _, reader = behind_mask
    assert steps.see().mask.any()  # type: ignore[union-attr]
    reader.is_worn = False
    assert steps.see() is not None
    assert steps.tracker._is_on  # type: ignore[union-attr]
    assert not steps.see(20).mask.any()  # type: ignore[union-attr]
    reader.is_worn = True
    assert steps.see(20).mask.any()  # type: ignore[union-attr]


def test_without_a_face_nothing_is_tracked(
    behind_mask: tuple[Steps, Mesher, LowerHalf],
) -> None:
    steps, mesher, _ = behind_mask
    mesher.mesh = None
    assert steps.see() is None


def test_the_other_kind_in_view_is_named_and_nothing_is_hidden(posed_mesh: MeshMaker) -> None:
    mesh, seen = posed_mesh(), {"other": True}
    inner = Told(lambda: a_track(mesh, "headset", is_worn=not seen["other"]))
    tracker = MindingTracker(inner, "headset", Told(lambda: mesh if seen["other"] else None))
    steps = Steps(tracker)
    assert bare_status(steps.see()) is Status.NO_HEADSET  # type: ignore[arg-type]
    track = steps.see(LONG_ENOUGH)
    assert track is not None
    assert not track.mask.any()
    assert bare_status(track) is Status.COVER_MISMATCH
    assert "--cover face-mask" in tracker.note
    seen["other"] = False
    track = steps.see(LONG_ENOUGH)
    assert track is not None
    assert track.mask.any()
    assert tracker.note == ""


def test_a_face_mask_that_is_taken_for_a_headset_is_not_filled_as_one(
    posed_mesh: MeshMaker,
) -> None:
    mesh = posed_mesh()
    mistaken = Told(lambda: a_track(mesh, "headset", is_worn=True))
    steps = Steps(MindingTracker(mistaken, "headset", Told(lambda: mesh)))
    track = steps.see(FILLED_EVERY * AGREEING)
    assert track is not None
    assert not track.mask.any()
    assert bare_status(track) is Status.COVER_MISMATCH


def test_what_is_filled_is_seldom_looked_at_for_another_cover(posed_mesh: MeshMaker) -> None:
    looks = []
    mesh = posed_mesh()
    worn = Told(lambda: a_track(mesh, "headset", is_worn=True))
    Steps(MindingTracker(worn, "headset", Told(lambda: looks.append(1)))).see(3 * FILLED_EVERY)
    assert len(looks) == 3


def test_a_face_mask_that_was_found_is_not_doubted(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh()
    found = Told(lambda: a_track(mesh, "face-mask", is_worn=True))
    track = Steps(MindingTracker(found, "face-mask", Told(lambda: mesh))).see(LONG_ENOUGH)
    assert track is not None
    assert track.mask.any()


def test_the_other_kind_is_named_even_where_the_tracker_finds_no_face(
    posed_mesh: MeshMaker,
) -> None:
    tracker = MindingTracker(Told(lambda: None), "face-mask", Told(posed_mesh))
    track = Steps(tracker).see(LONG_ENOUGH)
    assert track is not None
    assert bare_status(track) is Status.COVER_MISMATCH
    assert "--cover headset" in tracker.note


def test_auto_goes_over_to_the_cover_that_is_worn_and_back(posed_mesh: MeshMaker) -> None:
    mesh, worn = posed_mesh(), {"now": "headset"}

    def follows(kind: CoverKind) -> Told:
        return Told(lambda: a_track(mesh, kind, worn["now"] == kind))

    def sees(kind: CoverKind) -> Told:
        return Told(lambda: mesh if worn["now"] == kind else None)

    kinds: tuple[CoverKind, CoverKind] = ("headset", "face-mask")
    tracker = AutoTracker({k: follows(k) for k in kinds}, {k: sees(k) for k in kinds})
    steps = Steps(tracker)
    for kind in ("headset", "face-mask", "headset"):
        worn["now"] = kind
        track = steps.see(2 * LONG_ENOUGH)
        assert track is not None
        assert (track.cover, tracker.cover) == (kind, kind)
        assert track.mask.any()


def test_a_report_names_the_engines_of_all_trackers_that_ran(posed_mesh: MeshMaker) -> None:
    """It named only the last one."""
    mesh, worn = posed_mesh(), {"now": "headset"}
    behind_mask = Told(lambda: a_track(mesh, "face-mask", worn["now"] == "face-mask"))
    behind_mask.engine_name = "MediaPipe CPU"
    tracker = AutoTracker(
        {
            "headset": Told(lambda: a_track(mesh, "headset", worn["now"] == "headset")),
            "face-mask": behind_mask,
        },
        {
            "headset": Told(lambda: mesh if worn["now"] == "headset" else None),
            "face-mask": Told(lambda: mesh if worn["now"] == "face-mask" else None),
        },
    )
    steps, named = Steps(tracker), []
    for kind in ("headset", "face-mask", "headset"):
        worn["now"] = kind
        steps.see(2 * LONG_ENOUGH)
        named.append(tracker.engine_name)
    both = "onnxruntime CPU INT8, MediaPipe CPU"
    assert named == ["onnxruntime CPU INT8", both, both]


def test_a_report_names_the_engine_of_a_tracker_that_minds_covers() -> None:
    nothing = Told(lambda: None)
    minding = MindingTracker(nothing, "headset", nothing)
    auto = AutoTracker({"headset": nothing, "face-mask": nothing}, {})
    for tracker, cover in ((minding, "headset"), (auto, "face-mask")):
        filler = make_filler("warp", small_profile(1).references)
        engines = engine_names(filler, tracker, override(SessionSettings(), {"edge.cover": cover}))
        assert engines["tracker"] == "onnxruntime CPU INT8"
        assert ("eyes" in engines) is (cover == "headset")  # no camera looks behind a face mask


def test_a_single_look_changes_no_verdict(posed_mesh: MeshMaker) -> None:
    looks = iter([None, posed_mesh(), None, None])
    watch = Watch(Told(lambda: next(looks)))
    for _ in range(4 * EVERY):
        watch.look(np.zeros((*SHAPE, 3), np.uint8), None)
        assert not watch.is_seen


def test_a_cover_that_stays_in_view_is_where_the_last_look_saw_it(posed_mesh: MeshMaker) -> None:
    meshes = [posed_mesh(centre=(x, 120)) for x in (100, 110, 120, 130)]
    looks = iter(meshes)
    watch = Watch(Told(lambda: next(looks)))
    for _ in range(4 * EVERY):
        watch.look(np.zeros((*SHAPE, 3), np.uint8), None)
    assert watch.mesh is meshes[-1]


def test_a_witness_looks_at_mouth_and_chin(posed_mesh: MeshMaker) -> None:
    reader = LowerHalf()
    witness, track = FaceMaskWitness(reader), a_track(posed_mesh(span_px=70.0), "headset", False)
    image = np.zeros((*SHAPE, 3), np.uint8)
    assert witness.sees(image, track) is track.mesh
    reader.is_worn = False
    assert witness.sees(image, track) is None
    assert witness.sees(image, None) is None


def test_what_nobody_sees_is_called_plausible(posed_mesh: MeshMaker) -> None:
    eyes = neutral_eyes()  # no eye camera
    masked = restored_statuses(a_track(posed_mesh(), "face-mask", True), eyes, False)
    assert masked == (Status.PLAUSIBLE,)
    worn = restored_statuses(a_track(posed_mesh(), "headset", True), eyes, False)
    assert worn == (Status.LIVE, Status.STALE_EYES)
    warm = restored_statuses(a_track(posed_mesh(), "face-mask", True), eyes, True)
    assert warm == (Status.WARMING, Status.PLAUSIBLE)


def test_a_marker_on_a_headset_is_refused_with_a_face_mask() -> None:
    changes = {"edge.marker": "aruco:7", "edge.cover": "face-mask"}
    with pytest.raises(UserError, match=r"does nothing.*--cover headset"):
        _check(override(SessionSettings(), changes))


def test_points_find_back_into_their_crop(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh(roll_deg=20)
    crop = crop_of_mesh(mesh)
    shares = crop.points_in_crop(mesh)
    back = crop.mesh_in_frame(np.column_stack([shares, np.zeros(478)]).astype(np.float32))
    np.testing.assert_allclose(back[:, :2], mesh[:, :2], atol=1e-2)


def test_whoever_wears_both_is_told_to_take_one_off(posed_mesh: MeshMaker) -> None:
    """Each kind alone would name the other one's --cover, and so send the wearer in a circle."""
    mesh = posed_mesh()
    found = Told(lambda: a_track(mesh, "headset", is_worn=True))
    under = Steps(MindingTracker(found, "headset", Told(lambda: mesh)))
    lost = Told(lambda: None)
    behind = Steps(MindingTracker(lost, "face-mask", Told(lambda: mesh), Told(lambda: mesh)))
    for steps, kept in ((under, "take the face mask off"), (behind, "take the headset off")):
        track = steps.see(FILLED_EVERY * AGREEING)
        assert track is not None
        assert bare_status(track) is Status.COVER_MISMATCH
        assert kept in steps.tracker.note


def test_auto_does_not_go_back_and_forth_between_two_covers_worn_at_once(
    posed_mesh: MeshMaker,
) -> None:
    mesh, worn = posed_mesh(), {"mask": True}
    headset = Told(lambda: a_track(mesh, "headset", is_worn=True))
    kinds: dict[CoverKind, Told] = {"headset": headset, "face-mask": Told(lambda: None)}
    mask = Told(lambda: mesh if worn["mask"] else None)
    tracker = AutoTracker(kinds, {"headset": Told(lambda: mesh), "face-mask": mask})
    steps = Steps(tracker)
    steps.see(2 * FILLED_EVERY * AGREEING + LONG_ENOUGH)
    for _ in range(2 * LONG_ENOUGH):
        track = steps.see()
        assert track is not None
        assert bare_status(track) is Status.COVER_MISMATCH
        assert "take one off" in tracker.note
    worn["mask"] = False
    track = steps.see(LONG_ENOUGH)
    assert track is not None
    assert track.mask.any()
    assert tracker.note == ""
