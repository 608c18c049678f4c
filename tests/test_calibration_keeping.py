"""A new capture over an old profile, through the real command: what is kept, and of whom."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_face import scene
from test_calibration_gates import ToldReader

from calibration.capture.draft import Draft
from calibration.capture.keeping import Kept, room_told, save_over
from calibration.capture.setup import CaptureSource
from calibration.capture.shelf import KeptFrame
from calibration.capture.take import Take
from calibration.capture.trial import Trial, try_on
from calibration.reference import _lock
from edge.__main__ import main
from edge.devices import CameraDevice
from edge.lens.lens import CalibratedLens
from edge.plate.backdrop import Backdrop
from edge.plate.part import HeadPlate
from edge.profile import EyeCalibration, SessionProfile, load_profile, save_profile, sealing
from edge.profile.own_network import OwnNetwork
from edge.profile.passphrase import FD_VARIABLE, VARIABLE
from models.personal.network import PersonalWeights
from models.weights_error import WeightsError

GUIDED = EyeCalibration(0.09, 0.31, (0.01, 0.02), (2.2, 0.1, -0.1, -2.4))
LENS = CalibratedLens("webcam:0", (400, 240), np.diag([500.0, 500.0, 1.0]), np.zeros(5), 0.2, 12)
PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def a_drawing_is_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.reference.open_reader", ToldReader)
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(FD_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(7):
        cv2.imwrite(str(folder / f"{index}.png"), scene((200 + index, 120, 1.2)))
    return folder


@pytest.fixture(scope="module")
def a_capture(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> SessionProfile:
    folder = tmp_path_factory.mktemp("profiles") / "anna"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calibration.reference.open_reader", ToldReader)
        captured(folder, pictures)
    return load_profile(folder)


def captured(folder: Path, pictures: Path, *options: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-reference", "--profile", str(folder), "--video", str(pictures), *options])
    assert ended.value.code == 0


def calibrated(profile: SessionProfile) -> SessionProfile:
    """As `calibrate-eyes` and `calibrate-camera` leave it."""
    return dataclasses.replace(profile, eyes=(GUIDED, GUIDED), camera=LENS)


def somebody_elses(profile: SessionProfile) -> SessionProfile:
    assert profile.identity is not None
    other = dataclasses.replace(profile.identity, bare=-profile.identity.bare)
    return dataclasses.replace(calibrated(profile), identity=other)


def test_a_recapture_keeps_the_eye_calibration_and_the_lens_and_says_so(
    tmp_path: Path,
    pictures: Path,
    a_capture: SessionProfile,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "anna"
    save_profile(calibrated(a_capture), folder)
    captured(folder, pictures)
    told = capsys.readouterr()
    assert "already: the new one takes its place when it is saved" in " ".join(told.err.split())
    said = " ".join(told.out.split())
    assert "eye calibration and camera's lens are kept from the profile that was there" in said
    assert "unvisor calibrate-eyes" not in said
    after = load_profile(folder)
    assert after.eyes == (GUIDED, GUIDED)
    assert after.camera is not None
    assert after.camera.to_json() == LENS.to_json()
    assert after.report is not None


def test_the_room_is_kept_and_that_is_told_unless_it_is_left_out(
    tmp_path: Path,
    pictures: Path,
    a_capture: SessionProfile,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "anna"
    assert a_capture.plate is not None
    assert "--no-plate leaves that out" in " ".join(room_told(a_capture))
    save_profile(a_capture, folder)
    captured(folder, pictures, "--no-plate")
    assert load_profile(folder).plate is None
    assert not list(folder.glob("plate.*"))
    assert "picture of the room" not in capsys.readouterr().out


def test_a_capture_keeps_how_the_skin_was_lit(a_capture: SessionProfile) -> None:
    assert a_capture.light is not None
    assert len(a_capture.light.lab) == len(a_capture.references)
    lightness, red, yellow = a_capture.light.colour.tolist()
    assert lightness == pytest.approx(75, abs=5)
    assert min(red, yellow) > 5


def test_a_capture_of_pictures_names_no_camera(a_capture: SessionProfile) -> None:
    assert a_capture.setup is not None
    assert (a_capture.setup.kind, a_capture.setup.size_px) == ("pictures", (400, 240))
    assert (a_capture.setup.tracker, a_capture.setup.camera_id) == ("mediapipe", "")


@pytest.mark.parametrize(
    ("camera", "listed", "camera_id"),
    [
        (
            "0",
            CameraDevice("/by-id/usb-Desk", "/dev/video0", "Desk", "A1", True),
            "/by-id/usb-Desk",
        ),
        ("7", None, "7"),
    ],
)
def test_a_capture_by_camera_names_it_by_the_id_that_stays(
    camera: str, listed: CameraDevice | None, camera_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera:
        fps = 30.0

    monkeypatch.setattr("calibration.capture.setup.open_capture_source", lambda *_: Camera())
    source = CaptureSource(None, camera, lambda asked: listed if asked == camera else None)
    source()
    setup = source.setup((1280, 720))
    assert (setup.kind, setup.camera_id, setup.fps) == ("webcam", camera_id, 30.0)
    assert setup.serial == ("A1" if listed else "")


@pytest.mark.parametrize("camera", ["0", "webcam:0"])
def test_a_camera_may_be_named_as_run_wants_it(
    camera: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str | None] = []
    monkeypatch.setattr(
        "calibration.capture.setup.open_capture_source", lambda _, named: opened.append(named)
    )
    CaptureSource(None, camera)()
    assert opened == ["0"]


def test_a_pipeline_is_not_kept_word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold the password of a network camera."""

    class Camera:
        fps = 30.0

    monkeypatch.setattr("calibration.capture.setup.open_capture_source", lambda *_: Camera())
    source = CaptureSource(None, "gst:rtspsrc user-pw=secret", lambda _: None)
    source()
    setup = source.setup((1280, 720))
    assert setup.kind == "gst"
    assert "secret" not in str(setup)


def test_the_trial_shows_the_room_as_a_session_will(
    a_capture: SessionProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood_behind = []

    class Seen(Backdrop):
        def __init__(self, plate: HeadPlate | None = None) -> None:
            super().__init__(plate)
            stood_behind.append(plate)

    monkeypatch.setattr("calibration.capture.trial.Backdrop", Seen, raising=False)
    view = a_capture.references[0]
    try_on(a_capture, [KeptFrame(0, view.image, view.mesh, "")])
    assert stood_behind == [a_capture.plate]


def test_nothing_of_another_persons_profile_is_kept(
    tmp_path: Path,
    pictures: Path,
    a_capture: SessionProfile,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "anna"
    save_profile(somebody_elses(a_capture), folder)
    captured(folder, pictures, "--json")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    (sentence,) = told["kept"]
    assert "of another person" in sentence
    assert "calibrate-eyes" in sentence
    after = load_profile(folder)
    assert not any(eye.is_guided for eye in after.eyes)
    assert after.camera is None


def test_an_encrypted_profile_stays_under_its_passphrase_and_keeps_its_eyes(
    tmp_path: Path, pictures: Path, a_capture: SessionProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "anna"
    lock = sealing.Lock.new(PASSPHRASE)
    save_profile(dataclasses.replace(calibrated(a_capture), lock=lock), folder)
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    captured(folder, pictures, "--encrypt")
    after = load_profile(folder, PASSPHRASE)
    assert after.eyes == (GUIDED, GUIDED)
    assert after.lock is not None


def test_a_new_passphrase_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = []

    def prompt(text: str, **options: object) -> str:
        asked_for.append(text)
        return PASSPHRASE

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", prompt)
    lock, passphrase = _lock(tmp_path / "anna", True)
    assert lock is not None
    assert passphrase == PASSPHRASE  # fine-tuning, minutes later, opens the profile by it
    assert asked_for == ["New passphrase"]


def refused(folder: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it makes no encrypted profile in `folder`."""
    with pytest.raises(SystemExit) as ended:
        main(
            ["calibrate-reference", "--profile", str(folder), "--video", str(pictures), "--encrypt"]
        )
    assert ended.value.code == 1
    return " ".join(capsys.readouterr().err.split())


def test_an_encrypted_profile_is_not_replaced_without_its_passphrase(
    tmp_path: Path,
    pictures: Path,
    a_capture: SessionProfile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "anna"
    save_profile(dataclasses.replace(a_capture, lock=sealing.Lock.new(PASSPHRASE)), folder)
    before = (folder / "profile.json").read_bytes()
    monkeypatch.setenv(VARIABLE, "another passphrase")
    assert "passphrase" in refused(folder, pictures, capsys)
    assert (folder / "profile.json").read_bytes() == before


def test_a_damaged_encrypted_profile_is_told_the_way_to_a_new_one(
    tmp_path: Path,
    pictures: Path,
    a_capture: SessionProfile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "anna"
    save_profile(dataclasses.replace(a_capture, lock=sealing.Lock.new(PASSPHRASE)), folder)
    (content,) = folder.glob("sealed.*.bin")
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    said = refused(folder, pictures, capsys)
    assert "is damaged" in said
    assert "`unvisor profiles delete anna` and run this again" in said


def test_what_a_capture_made_up_for_the_eyes_is_made_anew(
    tmp_path: Path, a_capture: SessionProfile
) -> None:
    wrong = EyeCalibration(0.4, 0.5)
    save_profile(dataclasses.replace(a_capture, eyes=(wrong, wrong)), tmp_path / "anna")
    assert save_over(a_capture, tmp_path / "anna") == Kept()
    assert load_profile(tmp_path / "anna").eyes == a_capture.eyes


def test_a_network_that_was_learned_on_other_views_is_not_lost_without_a_word(
    tmp_path: Path, a_capture: SessionProfile
) -> None:
    own = OwnNetwork(PersonalWeights("0" * 64, {"conv11.feature.bias": np.zeros(3, np.float32)}))
    save_profile(dataclasses.replace(a_capture, network=own), tmp_path / "anna")
    (sentence,) = save_over(a_capture, tmp_path / "anna").told
    assert "--finetune" in sentence
    assert load_profile(tmp_path / "anna").network is None


def test_a_damaged_profile_is_replaced_and_that_is_told(
    tmp_path: Path, a_capture: SessionProfile
) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "profile.json").write_text("{")
    kept = save_over(a_capture, folder)
    assert "cannot be read, so nothing of it is kept" in kept.told[0]
    assert load_profile(folder).references


def test_where_nobody_can_compare_faces_nothing_is_kept_and_that_is_told(
    tmp_path: Path, a_capture: SessionProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network() -> None:
        raise WeightsError("there is no network")

    monkeypatch.setattr("edge.identity.owners.FacePrintReader", no_network)
    save_profile(calibrated(a_capture), tmp_path / "anna")
    kept = save_over(a_capture, tmp_path / "anna")
    assert not kept.has_eyes
    assert "could not be checked" in kept.told[0]
    assert "unvisor calibrate-eyes" in kept.told[0]
    after = load_profile(tmp_path / "anna")
    assert not any(eye.is_guided for eye in after.eyes)
    assert after.camera is None


def test_ctrl_c_after_the_page_has_saved_does_not_deny_it(
    tmp_path: Path,
    a_capture: SessionProfile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It said that nothing was saved, and that the profile made before was unchanged."""

    def sitting(open_source: object, reader: object, save: object, *more: object) -> None:
        assert callable(save)
        save(a_capture)
        raise KeyboardInterrupt

    monkeypatch.setattr("calibration.reference.run_on_page", sitting)
    folder = tmp_path / "anna"
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-reference", "--profile", str(folder), "--camera", "0", "--page"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "nothing was saved" not in said
    assert "before anything was saved" not in said
    assert "The new profile was saved" in said
    assert load_profile(folder).references


def test_what_is_asked_before_saving_stays_out_of_the_json(
    tmp_path: Path,
    a_capture: SessionProfile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a camera and a terminal the question and its figures stood before the JSON object."""
    trial = Trial(3, 30.0, 20.0, 0.9, np.zeros((8, 24, 3), np.uint8))
    draft = Draft(a_capture, trial, Take(), ("straight",))
    monkeypatch.setattr("calibration.reference._run_in_terminal", lambda *given: draft)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    questions = []

    def confirm(text: str, default: bool, err: bool) -> bool:
        questions.append((text, err))
        return True

    monkeypatch.setattr("typer.confirm", confirm)
    folder = tmp_path / "anna"
    with pytest.raises(SystemExit) as ended:
        main(["calibrate-reference", "--profile", str(folder), "--camera", "0", "--json"])
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["profile"] == str(folder)
    assert questions == [("Save this profile?", True)]
    assert "Tried on" in shown.err
