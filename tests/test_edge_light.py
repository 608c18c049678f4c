"""The light of a profile and of a session, on faces painted over the shared mesh."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.bare_face_trackers import OracleTracker
from edge.eyes.fusion import EyeFusion
from edge.identity.person_check import AnyPerson
from edge.light.difference import (
    BRIGHTER,
    COLOUR,
    DARKER,
    FROM_LEFT,
    FROM_RIGHT,
    SIDE,
    STOPS,
    WARMER,
    Difference,
    difference,
    sentence,
)
from edge.light.part import ProfileLight, light_of_views
from edge.light.skin import NAMES, look_at_skin, stops_between, typical_lab
from edge.light.watch import LOOKS, SHOWN_NS, LightWatch, watch_for
from edge.pipeline import NoClients, Pipeline
from edge.profile import EyeCalibration, SessionProfile, load_profile, save_profile
from edge.records import Capture, FaceTrack, Truth
from edge.timing import StageTimes
from models.face.mesh import FACE_OVAL
from models.filling import Reference, make_filler
from models.headset.box import headset_box
from streaming.records import Frame, ImageU8

MeshMaker = Callable[..., NDArray[np.float32]]
SECOND_NS = 1_000_000_000
SKIN_BGR = (110, 135, 180)
JAW = NAMES.index("right jaw")


def face(mesh: NDArray[np.float32], skin: tuple[float, float, float] = SKIN_BGR) -> ImageU8:
    """A face of one colour with the camera's noise, before a grey wall."""
    image = np.full((256, 256, 3), 90, np.uint8)
    cv2.fillPoly(image, [mesh[list(FACE_OVAL), :2].astype(np.int32)], skin)
    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def lit(image: ImageU8, blue: float = 1.0, green: float = 1.0, red: float = 1.0) -> ImageU8:
    return np.clip(image * np.array([blue, green, red]), 0, 255).astype(np.uint8)


def from_one_side(image: ImageU8) -> ImageU8:
    """Bright on the picture's left, which is the wearer's right."""
    ramp = np.interp(np.arange(image.shape[1]), (100, 156), (1.2, 0.3))
    return np.clip(image * ramp[None, :, None], 0, 255).astype(np.uint8)


def worn(mesh: NDArray[np.float32], is_worn: bool = True, confidence: float = 1.0) -> FaceTrack:
    mask = np.zeros((256, 256), np.uint8)
    if is_worn:
        cv2.fillConvexPoly(mask, headset_box(mesh).corners().astype(np.int32), (1,))
    crop = np.array([[2, 0, 0], [0, 2, 0]], np.float32)
    return FaceTrack(mesh, np.ones(478, bool), mask, crop, confidence)


def profile_of(mesh: NDArray[np.float32]) -> SessionProfile:
    return SessionProfile((Reference(face(mesh), mesh),))


class Session:
    """Feeds a watch with a picture of ten frames a second."""

    def __init__(self, mesh: NDArray[np.float32], is_worn: bool = True) -> None:
        self.watch = watch_for(profile_of(mesh))
        self.track: FaceTrack | None = worn(mesh, is_worn)
        self.time_ns = 5 * SECOND_NS

    def show(self, image: ImageU8, seconds: float) -> str:
        for _ in range(round(10 * seconds)):
            self.time_ns += SECOND_NS // 10
            self.watch.watch(Frame(1, self.time_ns, image), self.track)
        return self.watch.note


def test_skin_is_measured_as_painted_and_hidden_regions_are_left_out(
    canonical_mesh: NDArray[np.float32],
) -> None:
    bare = look_at_skin(face(canonical_mesh), canonical_mesh)
    painted = typical_lab(np.array([SKIN_BGR], np.uint8))
    assert np.abs(bare.lab - painted).max() < 1.5
    assert (bare.spread > 0.3).all()
    assert bare.clipped == 0
    track = worn(canonical_mesh)
    image = face(canonical_mesh)
    image[track.mask > 0] = 5
    under = look_at_skin(image, canonical_mesh, track.mask)
    assert np.isnan(under.grey[NAMES.index("forehead")])
    seen = np.isfinite(under.grey)
    assert seen[[JAW, NAMES.index("left jaw"), NAMES.index("chin")]].all()
    assert np.abs(under.lab[seen] - painted).max() < 1.5


def test_what_lies_outside_the_picture_is_not_skin(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh(centre=(10.0, 115.0))
    look = look_at_skin(face(mesh), mesh)
    assert np.isnan(look.grey[JAW])
    assert np.isfinite(look.grey[NAMES.index("left jaw")])


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        (lambda image: lit(image, 0.35, 0.35, 0.35), DARKER),
        (lambda image: lit(image, 0.45, 0.9, 1.2), WARMER),
        (from_one_side, FROM_RIGHT),
        (lambda image: image, None),
        (lambda image: lit(image, 0.8, 0.8, 0.8), None),
        (lambda image: lit(image, 0.95, 1.0, 1.05), None),
    ],
)
def test_a_difference_is_named_as_a_person_would(
    changed: Callable[[ImageU8], ImageU8],
    word: str | None,
    canonical_mesh: NDArray[np.float32],
) -> None:
    image = face(canonical_mesh)
    before, after = (look_at_skin(each, canonical_mesh) for each in (image, changed(image)))
    found = difference(after, before)
    assert found is not None
    assert found.words == (frozenset() if word is None else {word})


def test_another_exposure_is_no_other_colour(canonical_mesh: NDArray[np.float32]) -> None:
    image = face(canonical_mesh)
    dim = look_at_skin(lit(image, 0.45, 0.45, 0.45), canonical_mesh)
    found = difference(dim, look_at_skin(image, canonical_mesh))
    assert found is not None
    assert found.stops == pytest.approx(np.log2(0.45), abs=0.15)
    assert np.hypot(found.red, found.yellow) < COLOUR / 3


def test_looks_without_common_regions_are_not_compared(
    canonical_mesh: NDArray[np.float32],
) -> None:
    look = look_at_skin(face(canonical_mesh), canonical_mesh)
    hidden = dataclasses.replace(look, grey=np.full_like(look.grey, np.nan))
    assert difference(look, hidden) is None


def test_the_sentence_names_all_that_differs_and_the_next_step() -> None:
    found = Difference(-2 * STOPS, 0, 2 * COLOUR, -2 * SIDE)
    assert found.words == {DARKER, WARMER, FROM_LEFT}
    told = sentence(found.words)
    assert "is much darker and warmer and comes much more from the wearer's left" in told
    assert "calibrate-reference" in told
    assert sentence(()) == ""


@pytest.mark.parametrize("is_worn", [True, False])
def test_another_light_is_told_after_some_seconds_once(
    is_worn: bool, canonical_mesh: NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    session = Session(canonical_mesh, is_worn)
    image = face(canonical_mesh)
    dark = lit(image, 0.3, 0.3, 0.3)
    assert session.show(image, 8) == ""
    assert session.show(dark, 3) == ""
    with caplog.at_level(logging.WARNING):
        assert "much darker than in the profile" in session.show(dark, 5)
        assert session.show(dark, SHOWN_NS / SECOND_NS + 2) == ""
        assert session.show(image, 10) == ""
        assert session.show(lit(image, 0.45, 0.9, 1.2), 10) == ""
    assert len(caplog.records) == 1


def test_the_sentence_goes_when_the_light_is_as_in_the_profile_again(
    canonical_mesh: NDArray[np.float32],
) -> None:
    session = Session(canonical_mesh)
    image = face(canonical_mesh)
    assert session.show(lit(image, 0.3, 0.3, 0.3), 8)
    assert session.show(image, LOOKS + 2) == ""


def test_flicker_and_single_frames_are_not_told(canonical_mesh: NDArray[np.float32]) -> None:
    session = Session(canonical_mesh)
    image = face(canonical_mesh)
    dark = lit(image, 0.3, 0.3, 0.3)
    for _ in range(8):
        assert session.show(dark, 2) == ""
        assert session.show(image, 2) == ""


def test_looks_with_a_long_pause_between_them_are_no_row(
    canonical_mesh: NDArray[np.float32],
) -> None:
    session = Session(canonical_mesh)
    dark = lit(face(canonical_mesh), 0.3, 0.3, 0.3)
    track = session.track
    for _ in range(4):
        session.track = track
        assert session.show(dark, 3) == ""
        session.track = None
        assert session.show(dark, 8) == ""


def test_an_unsure_tracker_tells_nothing_of_the_light(canonical_mesh: NDArray[np.float32]) -> None:
    session = Session(canonical_mesh)
    session.track = worn(canonical_mesh, confidence=0.2)
    assert session.show(lit(face(canonical_mesh), 0.3, 0.3, 0.3), 12) == ""


def test_the_skin_is_looked_at_once_a_second_at_most(
    canonical_mesh: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(canonical_mesh)
    looks = []

    def counted(*arguments: object) -> object:
        looks.append(1)
        return look_at_skin(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.light.watch.look_at_skin", counted)
    session.show(face(canonical_mesh), 10)
    assert 8 <= len(looks) <= 10


def test_without_light_nothing_is_watched(canonical_mesh: NDArray[np.float32]) -> None:
    session = Session(canonical_mesh)
    session.watch = LightWatch(None)
    assert session.show(lit(face(canonical_mesh), 0.3, 0.3, 0.3), 10) == ""


def test_the_view_nearest_in_light_counts(posed_mesh: MeshMaker) -> None:
    mesh = posed_mesh()
    image = face(mesh)
    dark = lit(image, 0.3, 0.3, 0.3)
    session = Session(mesh)
    session.watch = watch_for(SessionProfile((Reference(image, mesh), Reference(dark, mesh))))
    assert session.show(dark, 10) == ""
    assert session.show(image, 10) == ""


def test_the_light_is_kept_in_the_profile_and_comes_back(
    tmp_path: Path, canonical_mesh: NDArray[np.float32]
) -> None:
    made = profile_of(canonical_mesh)
    light = light_of_views(made.references)
    assert light is not None
    save_profile(dataclasses.replace(made, light=light), tmp_path / "anna")
    after = load_profile(tmp_path / "anna").light
    assert after is not None
    assert np.array_equal(after.lab, light.lab, equal_nan=True)
    assert after.to_json() == light.to_json()
    assert after.to_json()["lab"] == pytest.approx(
        typical_lab(np.array([SKIN_BGR], np.uint8)).tolist(), abs=1.5
    )
    assert "evenly lit" in after.words


def test_an_uneven_light_is_told_with_its_side(canonical_mesh: NDArray[np.float32]) -> None:
    image = from_one_side(face(canonical_mesh))
    light = light_of_views([Reference(image, canonical_mesh)])
    assert light is not None
    assert light.unevenness > 0.5
    assert "right cheek" in light.words


@pytest.mark.parametrize("spoilt", ["shape", "regions", "nowhere", "infinite"])
def test_a_part_that_does_not_fit_is_refused(
    spoilt: str, canonical_mesh: NDArray[np.float32]
) -> None:
    light = light_of_views(profile_of(canonical_mesh).references)
    assert light is not None
    part = light.to_part()
    arrays, document = dict(part.arrays), dict(part.document)
    if spoilt == "shape":
        arrays["grey"] = arrays["grey"][:, :2]
    elif spoilt == "regions":
        document["regions"] = ["nose"]
    elif spoilt == "nowhere":
        arrays["grey"] = np.full_like(arrays["grey"], np.nan)
    else:
        arrays["lab"] = np.full_like(arrays["lab"], np.inf)
    with pytest.raises(ValueError, match="light"):
        ProfileLight.from_part(dataclasses.replace(part, arrays=arrays, document=document))


def test_a_stop_is_a_factor_of_two() -> None:
    assert stops_between(200, 98) == pytest.approx(1)
    assert BRIGHTER in Difference(2 * STOPS, 0, 0, 0).words


def test_the_pipeline_shows_the_watch_every_frame_but_another_persons(
    canonical_mesh: NDArray[np.float32],
) -> None:
    seen: list[int] = []

    class Watch(LightWatch):
        def watch(self, frame: Frame, track: FaceTrack | None) -> None:
            assert track is not None
            seen.append(frame.frame_id)

    person = AnyPerson()
    pipeline = Pipeline(
        OracleTracker(64),
        EyeFusion((EyeCalibration(), EyeCalibration()), SECOND_NS),
        make_filler("paste", Reference(face(canonical_mesh), canonical_mesh), size_px=64),
        NoClients(),
        (),
        StageTimes(),
        light=Watch(None),
        person=person,
        size_px=64,
    )
    image, track = face(canonical_mesh), worn(canonical_mesh)
    for number in range(4):
        person.is_wrong = number == 2
        frame = Frame(number, SECOND_NS + number, image)
        pipeline.process(Capture(frame, Truth(image, canonical_mesh, track.mask, ())))
    assert seen == [0, 1, 3]
