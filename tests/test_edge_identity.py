"""Prints of persons in profiles, the check beside the pipeline, and what it leads to."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import MeshMaker
from rich.console import Console
from saved_profiles import small_profile, write_schema1

from edge import run as run_module
from edge.__main__ import main
from edge.eyes.fusion import EyeFusion
from edge.identity import person_check
from edge.identity.badge import Badging, marked
from edge.identity.evidence import EvidenceSettings, Verdict
from edge.identity.face_print import IdentityPrint
from edge.identity.likeness import Fitted, Weights, fitted, look_at
from edge.identity.news import RIGHT_PERSON, WRONG_PERSON, WrongPersonNews
from edge.identity.person_check import AnyPerson, IdentityCheck, make_check
from edge.identity.print_making import print_of_faces, print_of_views
from edge.identity.question import confirm_person
from edge.pipeline import Pipeline
from edge.profile import EyeCalibration, SessionProfile, load_profile, save_profile
from edge.records import Capture, FaceTrack
from edge.settings import EdgeSettings, SessionSettings, from_json, load_toml, to_json
from edge.supervisor import Session
from edge.timing import StageTimes
from models.filling import Reference
from models.identity.reader import FacePrintReader
from models.weights_error import WeightsError
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.publisher import is_synthesised
from streaming.records import Float32Array, Frame, ImageU8, RestoredFace, Status

MS = 1_000_000
ALL_ROWS = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def painted(mesh: Float32Array, seed: int) -> ImageU8:
    """A face of patches: the same seed paints the same person."""
    noise = np.random.default_rng(seed).normal(0, 1, (256, 256, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3 + seed % 3)
    return np.asarray(cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX), np.uint8)


def tracked(mesh: Float32Array, covered: bool) -> FaceTrack:
    mask = np.zeros((256, 256), np.uint8)
    if covered:
        mask[int(mesh[105, 1]) - 10 : int(mesh[4, 1])] = 1
    return FaceTrack(mesh, np.ones(478, np.bool_), mask, ALL_ROWS, 1.0)


@pytest.fixture(scope="module")
def reader() -> FacePrintReader:
    return FacePrintReader()


@pytest.fixture
def mesh(posed_mesh: MeshMaker) -> Float32Array:
    return posed_mesh()


@pytest.fixture
def own(reader: FacePrintReader, mesh: Float32Array) -> IdentityPrint:
    return print_of_faces([painted(mesh, 1)], [mesh], reader)


def counted(reader: FacePrintReader, constant: float) -> Fitted:
    """Looks that always speak for (+) or against (-) the owner."""
    fixed = Weights(0.0, 0.0, constant)
    decision = EvidenceSettings(6, 2, -6, 3, -10, 10)
    return Fitted(reader.version, {"bare": fixed, "lower": fixed}, decision)


def frame_at(image: ImageU8, index: int) -> Frame:
    return Frame(index, 1_000 * MS + index * 40 * MS, image)


def test_a_print_comes_back_from_a_saved_profile(
    own: IdentityPrint, mesh: Float32Array, tmp_path: Path
) -> None:
    view = Reference(painted(mesh, 1), mesh)
    save_profile(SessionProfile((view,), identity=own), tmp_path / "anna")
    kept = load_profile(tmp_path / "anna").identity
    assert kept is not None
    assert kept.network == own.network
    for name in ("bare", "lower", "shapes"):
        assert np.array_equal(getattr(kept, name), getattr(own, name))
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "anna").iterdir())


def test_a_print_that_does_not_fit_is_refused(own: IdentityPrint) -> None:
    part = own.to_part()
    short = dataclasses.replace(part, arrays={**part.arrays, "bare": own.bare[:, :5]})
    with pytest.raises(ValueError, match="bare"):
        IdentityPrint.from_part(short)


@pytest.mark.parametrize("covered", [False, True])
def test_the_owner_resembles_the_print_more_than_another(
    own: IdentityPrint, reader: FacePrintReader, mesh: Float32Array, covered: bool
) -> None:
    track = tracked(mesh, covered)
    same, other = (look_at(painted(mesh, s), track, own, reader) for s in (1, 5))
    assert same is not None
    assert other is not None
    assert same.window == other.window == ("lower" if covered else "bare")
    assert same.product > other.product + 0.1
    assert same.distance < 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": 0.3},
        {"mesh": "turned"},
        {"mesh": "tiny"},
        {"mask": np.ones((256, 256), np.uint8)},
    ],
    ids=["unsure", "turned away", "far away", "hidden altogether"],
)
def test_a_look_that_shows_too_little_does_not_count(
    own: IdentityPrint,
    reader: FacePrintReader,
    posed_mesh: MeshMaker,
    change: dict[str, object],
) -> None:
    shapes = {"turned": posed_mesh(yaw_deg=50), "tiny": posed_mesh(span_px=15)}
    if isinstance(change.get("mesh"), str):
        change = {"mesh": shapes[str(change["mesh"])]}
    good = tracked(posed_mesh(), covered=False)
    image = painted(posed_mesh(), 1)
    assert look_at(image, good, own, reader) is not None
    bad = dataclasses.replace(good, **change)  # type: ignore[arg-type]
    assert look_at(image, bad, own, reader) is None


def test_looks_are_rare_once_the_owner_is_known(
    own: IdentityPrint, reader: FacePrintReader, mesh: Float32Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look costs milliseconds: it must not happen in every frame."""
    looks: list[int] = []
    check = IdentityCheck(own, reader, counted(reader, 9.0))
    monkeypatch.setattr(person_check, "look_at", lambda *a: looks.append(1) or look_at(*a))
    image, track = painted(mesh, 1), tracked(mesh, covered=True)
    for index in range(250):  # ten seconds
        check.watch(frame_at(image, index), track)
    assert check.evidence.verdict is Verdict.OWNER
    assert 9 <= len(looks) <= 14
    assert check.note == ""


def test_another_head_starts_the_evidence_anew(
    own: IdentityPrint, reader: FacePrintReader, mesh: Float32Array
) -> None:
    check = IdentityCheck(own, reader, counted(reader, 9.0))
    image, track = painted(mesh, 1), tracked(mesh, covered=True)
    for index in range(100):
        check.watch(frame_at(image, index), track)
    assert check.evidence.is_settled
    beside = dataclasses.replace(track, mesh=mesh + np.array([400, 0, 0], np.float32))
    check.watch(frame_at(image, 100), beside)
    assert check.evidence.verdict is Verdict.UNDECIDED
    for index in range(101, 200):
        check.watch(frame_at(image, index), track)
    assert check.evidence.is_settled
    for index in range(200, 240):
        check.watch(frame_at(image, index), None)
    check.watch(frame_at(image, 240), dataclasses.replace(track, confidence=0.1))
    assert check.evidence.verdict is Verdict.UNDECIDED


def test_a_profile_without_a_print_gets_one_from_its_pictures(
    mesh: Float32Array, tmp_path: Path
) -> None:
    """Profiles of earlier versions have none."""
    view = Reference(painted(mesh, 1), mesh)
    write_schema1(SessionProfile((view,)), tmp_path / "old")
    old = load_profile(tmp_path / "old")
    assert old.identity is None
    check = make_check(old)
    assert isinstance(check, IdentityCheck)
    for index in range(100):
        check.watch(frame_at(view.image, index), tracked(mesh, covered=False))
    assert check.evidence.verdict is Verdict.OWNER


def test_a_print_of_another_network_is_made_anew(
    own: IdentityPrint, reader: FacePrintReader, mesh: Float32Array
) -> None:
    foreign = dataclasses.replace(own, network="another")
    with pytest.raises(ValueError, match="another"):
        IdentityCheck(foreign, reader, fitted())
    view = Reference(painted(mesh, 1), mesh)
    assert isinstance(make_check(SessionProfile((view,), identity=foreign)), IdentityCheck)


def test_one_view_gives_a_print_under_every_built_in_headset(
    reader: FacePrintReader, mesh: Float32Array
) -> None:
    made = print_of_views([Reference(painted(mesh, 1), mesh)], reader)
    assert len(made.bare) == 1
    assert len(made.lower) >= 3


def test_without_the_network_nobody_is_checked_and_the_user_hears_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> FacePrintReader:
        raise WeightsError("the file is missing")

    monkeypatch.setattr(person_check, "FacePrintReader", missing)
    check = make_check(small_profile(20.0))
    assert isinstance(check, AnyPerson)
    assert not check.is_wrong
    assert "not checked" in check.note


@pytest.mark.parametrize(
    ("settings", "is_checked"),
    [
        (EdgeSettings(), True),
        (EdgeSettings(landmarks="oracle"), True),
        (EdgeSettings(landmarks="mediapipe"), False),
        (EdgeSettings(landmarks="mediapipe", cover="face-mask"), True),  # while the face is bare
    ],
)
def test_faces_that_are_only_guessed_are_not_checked_and_the_user_hears_it(
    settings: EdgeSettings, is_checked: bool
) -> None:
    """No track of MediaPipe's was ever fit for a look: whoever wore the headset was restored."""
    told: list[str] = []
    check = make_check(small_profile(20.0), False, settings, told.append)
    assert isinstance(check, IdentityCheck) is is_checked
    assert [text.partition(":")[0] for text in told] == (
        [] if is_checked else ["who is in view is not checked"]
    )


class Inbox:
    """A publisher that keeps what it gets."""

    paused = False

    def __init__(self) -> None:
        self.sent: list[RestoredFace] = []
        self.words: list[Notification] = []

    def publish_restored(
        self,
        face: RestoredFace,
        eyes: Sequence[ImageU8] = (),
        eye_ages_ns: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self.sent.append(face)

    def publish(self, notification: Notification) -> bool:
        self.words.append(notification)
        return True


class GreenFiller:
    """Fills with green."""

    name = "green"

    def fill(self, crop: ImageU8, hidden: ImageU8, mesh: Float32Array) -> ImageU8:
        return np.where(hidden[..., None] > 0, np.array([0, 255, 0], np.uint8), crop)

    def reset(self) -> None:
        """Nothing to forget."""


class StillTracker:
    """Sees the same track in every frame."""

    name = "tracker"
    note = ""

    def __init__(self, track: FaceTrack) -> None:
        self.seen: FaceTrack | None = track

    def track(self, capture: Capture) -> FaceTrack | None:
        return self.seen

    def reset(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to free."""


def test_a_wrong_person_is_passed_through_flagged_and_told_until_the_owner_is_back(
    own: IdentityPrint, reader: FacePrintReader, mesh: Float32Array
) -> None:
    inbox, image = Inbox(), painted(mesh, 1)
    check = IdentityCheck(own, reader, counted(reader, -9.0))
    pipeline = Pipeline(
        StillTracker(tracked(mesh, covered=True)),
        EyeFusion((EyeCalibration(), EyeCalibration()), 100 * MS),
        GreenFiller(),
        inbox,
        [],
        StageTimes(),
        person=WrongPersonNews(check, inbox),
        size_px=64,
    )
    for index in range(60):
        pipeline.process(Capture(frame_at(image, index)))
    assert Status.WRONG_PERSON not in inbox.sent[0].status
    assert is_synthesised(inbox.sent[0])
    last = inbox.sent[-1]
    assert last.status == (Status.WRONG_PERSON,)
    assert np.array_equal(last.image, image)
    assert not is_synthesised(last)
    assert last.landmarks.size == 0
    assert "not of the person in view" in pipeline.note
    check._weights = counted(reader, 9.0).windows
    for index in range(60, 220):
        pipeline.process(Capture(frame_at(image, index)))
    assert Status.WRONG_PERSON not in inbox.sent[-1].status
    assert is_synthesised(inbox.sent[-1])
    assert pipeline.note == ""
    assert [word.subject for word in inbox.words] == [WRONG_PERSON, RIGHT_PERSON]
    assert "calibrate-reference" in str(inbox.words[0].fields["detail"])


def test_any_person_is_typed_and_never_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "unvisor.toml"
    for section in ("edge", "streaming", "models"):
        for key in ("any_person", "any-person"):
            path.write_text(f"[{section}]\n{key} = true\n")
            with pytest.raises(UserError, match="Unknown key"):
                load_toml(path)
    tree = json.loads(to_json(SessionSettings()))
    tree["edge"]["any_person"] = True
    with pytest.raises(UserError, match="Unknown key"):
        from_json(json.dumps(tree))
    assert isinstance(make_check(small_profile(20.0), any_person=True), AnyPerson)


@pytest.mark.parametrize("typed", [[], ["--any-person"]])
def test_any_person_reaches_the_worker_and_is_announced_loudly(
    typed: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without it the check is on: that is the default."""
    save_profile(small_profile(20.0), tmp_path / "anna")
    asked: list[bool] = []

    class Stopped(Exception):
        pass

    def session(*a: object, any_person: bool, **k: object) -> None:
        asked.append(any_person)
        raise Stopped

    monkeypatch.setattr(run_module, "run_session", session)
    with pytest.raises(Stopped):
        main(["run", "--profile", str(tmp_path / "anna"), *typed])
    assert asked == [bool(typed)]
    assert ("nobody checks" in capsys.readouterr().err) == bool(typed)
    assert Session(SessionSettings(), lambda status: None)._any_person is False


def test_without_a_terminal_nothing_is_asked_but_the_profile_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service that starts at boot must never wait."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    console = Console(record=True, file=io.StringIO())
    profile = dataclasses.replace(small_profile(20.0), made="2026-11-20T08:00:00Z")
    confirm_person(profile, "anna", console, 0)
    assert "Profile anna, made 2026-11-20." in console.export_text()


def test_at_a_terminal_the_picture_is_shown_and_a_no_starts_nothing() -> None:
    console = Console(record=True, file=io.StringIO())
    seen: list[bytes] = []

    def ask(question: str) -> bool:
        import urllib.request

        url = console.export_text(clear=False).split("picture: ")[1].split()[0]
        with urllib.request.urlopen(f"{url}view?after=0", timeout=5) as answer:
            seen.append(answer.read())
        return question != "Is this you?"

    with pytest.raises(UserError, match="somebody else"):
        confirm_person(small_profile(20.0), "anna", console, 0, ask=ask)
    length = int.from_bytes(seen[0][:4], "big")
    facts = json.loads(seen[0][4 : 4 + length])
    assert [pane["name"] for pane in facts["panes"]] == ["profile"]
    picture = cv2.imdecode(np.frombuffer(seen[0][4 + length :], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (192, 192, 3)
    assert "Is this you?" in facts["status"][0]


@pytest.mark.parametrize(("typed", "port"), [([], 8750), (["--no-preview"], None)])
def test_the_question_shows_no_page_where_none_is_wanted(
    typed: list[str], port: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(20.0), tmp_path / "anna")
    asked: list[object] = []

    def confirm(profile: object, name: str, console: object, page_port: object, **_: bool) -> None:
        asked.append(page_port)
        raise UserError("Not started.")

    monkeypatch.setattr(run_module, "confirm_person", confirm)
    with pytest.raises(SystemExit):
        main(["run", "--profile", str(tmp_path / "anna"), *typed])
    assert asked == [port]


def test_without_a_page_the_question_is_asked_all_the_same() -> None:
    console = Console(record=True, file=io.StringIO())
    confirm_person(small_profile(20.0), "anna", console, None, ask=lambda question: True)
    assert "picture" not in console.export_text()


def test_yes_is_not_asked_again() -> None:
    def ask(question: str) -> bool:
        raise AssertionError(question)

    console = Console(file=open("/dev/null", "w"))  # noqa: SIM115
    confirm_person(small_profile(20.0), "anna", console, 0, is_sure=True, ask=ask)


def restored(filler: str) -> RestoredFace:
    grey = np.full((120, 160, 3), 128, np.uint8)
    nothing = np.zeros((2, 2), np.float32)
    return RestoredFace(
        1, 0, 0, grey, grey[:64, :64].copy(), ALL_ROWS, np.zeros((478, 3), np.float32), nothing,
        np.ones(2, np.float32), (Status.LIVE,), filler, "tracker",
    )  # fmt: skip


def test_the_badge_marks_what_was_filled_in_and_nothing_else() -> None:
    inbox = Inbox()
    publisher = Badging(inbox)
    publisher.publish_restored(restored("unvisor"))
    publisher.publish_restored(restored("none"))
    marked_face, plain = inbox.sent
    for image in (marked_face.image, marked_face.crop):
        changed = np.argwhere((image != 128).any(axis=2))
        assert len(changed) > 100
        assert changed[:, 0].min() > image.shape[0] / 2  # in the lower left corner
        assert changed[:, 1].max() < 0.9 * image.shape[1]
    assert (plain.image == 128).all()
    assert (restored("none").image == 128).all()
    assert marked(np.empty((0, 0, 3), np.uint8)).size == 0
