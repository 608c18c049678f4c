"""The gates on a drawn face that MediaPipe takes for one: each fault is named, with advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_face import scene

from calibration.gates.gates import ADVICE, GATES, judge, problem_of
from calibration.gates.look import Look
from calibration.guide.face_steps import EYES_CLOSED, TURNED_AWAY
from models.covers.contract import REGIONS
from models.covers.reader import CoverReader
from models.face.mediapipe_mesh import FaceMesher
from models.face.mesh import EYES
from streaming.records import Float32Array, ImageU8

PLACE = (200, 120, 1.2)
Change = Callable[[ImageU8], ImageU8]


class ToldReader(CoverReader):
    """Says what it was told to say: a drawn face is no face to CoverNet."""

    def __init__(self, **covered: float) -> None:
        self._told = {name: covered.get(name.replace(" ", "_"), 0.0) for name in REGIONS}

    def covered(self, image: ImageU8, mesh: Float32Array) -> dict[str, float]:
        return self._told


@pytest.fixture(scope="module")
def mesh() -> Float32Array:
    with FaceMesher(tracking=False) as mesher:
        (found,) = mesher.meshes(scene(PLACE))
    return found


@pytest.fixture
def look(mesh: Float32Array) -> Look:
    return Look(scene(PLACE), [mesh], ToldReader())


def turned(mesh: Float32Array, degrees: float) -> Float32Array:
    """The mesh turned about the head's upright axis."""
    middle = mesh.mean(axis=0)
    angle = np.radians(degrees)
    turn = np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    )
    return ((mesh - middle) @ turn.T + middle).astype(np.float32)  # fmt: skip


def tinted(blue: float, green: float, red: float) -> Change:
    gain = np.array([blue, green, red])
    return lambda image: np.clip(image * gain, 0, 255).astype(np.uint8)


def half_dark(image: ImageU8) -> ImageU8:
    dark = image.copy()
    dark[:, : PLACE[0]] //= 5
    return dark


def grey(image: ImageU8) -> ImageU8:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)


def with_lamps(image: ImageU8) -> ImageU8:
    lit = image.copy()
    for x in (-24, 24):
        cv2.ellipse(lit, (PLACE[0] + x, PLACE[1] - 12), (12, 8), 0, 0, 360, (255, 255, 255), -1)
    return lit


def same(image: ImageU8) -> ImageU8:
    return image


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (same, ""),
        (tinted(0.13, 0.13, 0.13), "too dark"),
        (tinted(1.9, 1.9, 1.9), "too bright"),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 6), "blurred"),
        (grey, "no colour"),
        (tinted(0.5, 1.3, 0.6), "wrong colour"),
        (tinted(1.4, 0.7, 0.8), "wrong colour"),
        (half_dark, "uneven light"),
        (with_lamps, "glare"),
    ],
)
def test_pictures_that_make_a_bad_reference_are_named(
    look: Look, change: Change, problem: str
) -> None:
    changed = replace(look, image=np.asarray(change(look.image), np.uint8))
    assert problem_of(changed) == problem


@pytest.mark.parametrize(
    ("move", "problem"),
    [
        (lambda mesh: mesh / 4, "too far"),
        (lambda mesh: mesh - np.float32([170, 0, 0]), "cut off"),
        (lambda mesh: mesh + np.float32([0, 90, 0]), "cut off"),
        (lambda mesh: turned(mesh, 35), TURNED_AWAY),
        (lambda mesh: turned(mesh, -60), "turned too far"),
    ],
)
def test_faces_in_the_wrong_place_or_pose_are_named(
    look: Look, move: Callable[[Float32Array], Float32Array], problem: str
) -> None:
    assert problem_of(replace(look, meshes=[move(look.face).astype(np.float32)])) == problem


def test_nobody_and_a_second_person_are_named(look: Look) -> None:
    assert problem_of(replace(look, meshes=[])) == "no face"
    assert problem_of(replace(look, meshes=[look.face, look.face + 50])) == "two faces"


@pytest.mark.parametrize(
    ("region", "problem"),
    [("left_eye", "eyes covered"), ("mouth", "face covered"), ("forehead", "")],
)
def test_what_lies_over_the_face_is_named(look: Look, region: str, problem: str) -> None:
    assert problem_of(replace(look, reader=ToldReader(**{region: 0.95}))) == problem


def closed(mesh: Float32Array) -> Float32Array:
    shut = mesh.copy()
    for eye in EYES:
        shut[list(eye.upper_lid)] = shut[list(eye.lower_lid)]
    return shut


def test_closed_eyes_and_turned_heads_are_no_straight_views_but_of_use(look: Look) -> None:
    asleep = judge(replace(look, meshes=[closed(look.face)]))
    assert (asleep.problem, asleep.is_usable) == (EYES_CLOSED, True)
    aside = judge(replace(look, meshes=[turned(look.face, 30)]))
    assert (aside.problem, aside.is_usable) == (TURNED_AWAY, True)
    dark = judge(replace(look, image=look.image // 9, meshes=[closed(look.face)]))
    assert (dark.problem, dark.is_usable) == ("too dark", False)
    assert judge(look).is_usable


def test_who_was_asked_to_close_the_eyes_may(look: Look) -> None:
    asleep = replace(look, meshes=[closed(look.face)])
    assert problem_of(asleep, frozenset({EYES_CLOSED})) == ""


def test_every_gate_has_advice_of_its_own_in_one_plain_sentence() -> None:
    keys = [gate.key for gate in GATES]
    assert len(set(keys)) == len(keys)
    assert set(ADVICE) == {*keys, "no face", "two faces"}
    assert len(set(ADVICE.values())) == len(ADVICE)
    assert all(words.endswith(".") and words.count(".") == 1 for words in ADVICE.values())


def test_the_shipped_network_tells_a_mask_from_a_bare_mouth(look: Look) -> None:
    """On the drawn face, which it never saw: the cloth must raise its suspicion clearly."""
    reader = CoverReader()
    bare = reader.covered(look.image, look.face)
    image = look.image.copy()
    jaw = look.face[[93, 132, 172, 152, 397, 361, 323, 4], :2]
    cv2.fillConvexPoly(image, cv2.convexHull(np.round(jaw).astype(np.int32)), (190, 160, 120))
    masked = reader.covered(image, look.face)
    assert set(bare) == set(REGIONS)
    assert masked["mouth"] > 0.5 > bare["mouth"]
