from __future__ import annotations

import dataclasses
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from eye_views import Wearer, camera, doing
from pythonosc.udp_client import SimpleUDPClient
from typer.testing import CliRunner

from calibration.eyes import calibrate_eyes
from calibration.running_session import RunningSession
from edge.eyes import routine as routines
from edge.eyes.fusion import EyeFusion
from edge.eyes.osc_requests import RECALIBRATE, RECENTRE, OscRequests
from edge.eyes.renewal import EyeRenewal
from edge.hmd_process import HmdProcess
from edge.profile import EyeCalibration, SessionProfile, load_profile, save_profile, update_profile
from edge.settings import SessionSettings, StreamingSettings
from models.filling import Reference
from streaming.errors import UserError
from streaming.face_message import FaceState
from streaming.messages import Notification, encode
from streaming.publisher import Publisher
from streaming.recordings.writer import RecordingWriter
from streaming.records import EyeParameters, Side, Status

WAIT_S = 20.0


@pytest.fixture
def folder(tmp_path: Path, canonical_mesh, textured_image) -> Path:  # type: ignore[no-untyped-def]
    path = tmp_path / "profiles" / "anna"
    save_profile(SessionProfile((Reference(textured_image, canonical_mesh),)), path)
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routine in 3 s."""
    phases = [dataclasses.replace(p, seconds=p.seconds / 5) for p in routines.PHASES]
    monkeypatch.setattr(routines, "PHASES", tuple(phases))
    monkeypatch.setattr(routines, "REACTION_S", 0.05)
    monkeypatch.setattr("edge.eyes.verdict.MIN_SEEN", 10)


def recorded(path: Path, skip: str = "", side: Side | None = None) -> Path:
    """The routine of somebody who leaves out the phase `skip`, seen by one or both eye cameras."""
    with RecordingWriter(path, "tcp://127.0.0.1:50022", ["eye."]) as writer:
        started_s = 5.0
        wearers = [Wearer(s, camera(turn_deg=10)) for s in Side if side in (None, s)]
        for phase in routines.PHASES:
            for index in range(round(phase.seconds * 30)):
                time_ns = round((started_s + index / 30) * 1e9)
                does = doing("ahead" if phase.key == skip else phase.key, index / 30)
                for wearer in wearers:
                    writer.add(time_ns, encode(wearer.seen(time_ns, *does)))
            started_s += phase.seconds
    return path


def calibrate(*options: str) -> str:
    app = typer.Typer()
    app.command()(calibrate_eyes)
    outcome = CliRunner().invoke(app, [*options, "--no-speak"], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_a_recorded_routine_becomes_the_profiles_calibration(folder: Path, tmp_path: Path) -> None:
    path = recorded(tmp_path / "eyes.uvrec")
    said = calibrate("--profile", str(folder), "--from", str(path))
    assert "Right eye: lids" in said
    assert "Left eye: lids" in said
    assert "Good, and saved" in said
    eyes = load_profile(folder).eyes
    assert all(len(eye.open_lids) == len(eye.closed_lids) == 18 for eye in eyes)
    told = json.loads(calibrate("--profile", str(folder), "--from", str(path), "--json"))
    assert told["eyes"] == [eye.to_json() for eye in eyes]
    assert told["swapped"] is False


def test_a_routine_without_closed_eyes_changes_nothing(folder: Path, tmp_path: Path) -> None:
    document = (folder / "profile.json").read_bytes()
    path = recorded(tmp_path / "eyes.uvrec", side=Side.RIGHT)
    with pytest.raises(UserError, match="The left eye was not seen"):
        calibrate("--profile", str(folder), "--from", str(path))
    assert (folder / "profile.json").read_bytes() == document


def test_a_recording_without_eyes_says_what_to_record(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "session.uvrec"
    with RecordingWriter(path, "tcp://127.0.0.1:50021", ["frame.world"]):
        pass
    with pytest.raises(UserError, match=r"nothing that an eye camera saw .*unvisor record"):
        calibrate("--profile", str(folder), "--from", str(path))


def test_a_missing_profile_is_told_before_the_wearer_takes_the_trouble(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no profile"):
        calibrate("--profile", str(tmp_path / "nobody"))


def config(tmp_path: Path, port: int, session_port: int | None = None) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[hmd_capture]\npublisher = "tcp://127.0.0.1:{port}"\n'
        f"[streaming]\npublisher_port = {session_port or port}\n"
    )
    return path


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher(0) as opened:
        yield opened


def test_without_eye_cameras_it_says_what_to_do(
    folder: Path, tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.eyes.HEARD_WITHIN_S", 0.1)
    with pytest.raises(UserError, match="No eye camera sends anything") as caught:
        calibrate("--profile", str(folder), "--config", str(config(tmp_path, publisher.port)))
    assert "--config" in caught.value.next_step


def test_cameras_that_a_running_session_has_lost_are_told_and_not_opened_twice(
    folder: Path, tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.eyes.STARTED_WITHIN_S", 0.2)
    started: list[HmdProcess] = []
    monkeypatch.setattr(HmdProcess, "start", started.append)
    path = config(tmp_path, publisher.port)
    path.write_text(path.read_text() + '[hmd_capture.left]\nsource = "uvc:7"\n')
    stop = threading.Event()

    def tell() -> None:
        note = Notification("unvisor.eye_cameras", {"detail": "left eye camera uvc:7 is silent"})
        while not stop.wait(0.05):
            publisher.publish(note)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        with pytest.raises(UserError, match=r"program runs, .*: left eye camera uvc:7 is silent"):
            calibrate("--profile", str(folder), "--config", str(path))
    finally:
        stop.set()
        thread.join()
    assert not started


def test_a_program_on_another_machine_that_is_silent_is_no_matter_of_cables(
    folder: Path, tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.eyes.HEARD_WITHIN_S", 0.1)
    monkeypatch.setattr("calibration.eyes.STARTED_WITHIN_S", 0.1)
    path = config(tmp_path, publisher.port)
    elsewhere = '[hmd_capture]\nclock = "tcp://127.0.0.1:1"\n'
    path.write_text(path.read_text().replace("[hmd_capture]\n", elsewhere))
    with pytest.raises(UserError, match="Nothing comes from the eye cameras' program") as caught:
        calibrate("--profile", str(folder), "--config", str(path))
    assert "python -m hmd_capture" in caught.value.next_step


def test_a_config_file_for_face_masks_starts_the_eye_cameras_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.eyes.HEARD_WITHIN_S", 0.1)
    path = config(tmp_path, 1)
    path.write_text(
        f'{path.read_text()}[edge]\ncover = "face-mask"\n'
        f'[hmd_capture.left]\nsource = "file:{tmp_path}/gone"\n'
    )
    with pytest.raises(UserError, match="The eye cameras' program: There is no"):
        calibrate("--profile", str(folder), "--config", str(path))


class Headset:
    """Publishes both eyes of somebody who does what `act` says, at 60 Hz, until it is closed."""

    def __init__(self, publisher: Publisher, routine: list[routines.EyeRoutine]) -> None:
        self._publisher, self._routine = publisher, routine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        wearers = [Wearer(side, camera()) for side in Side]
        while not self._stop.wait(1 / 60):
            phase = self._routine[-1].phase_at(time.monotonic()) if self._routine else None
            does = doing(phase.key, 0.6) if phase else doing("ahead", 0.0)
            for wearer in wearers:
                self._publisher.publish(wearer.seen(time.monotonic_ns(), *does))


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[routines.EyeRoutine]:
    """Every routine that begins: somebody follows the newest."""
    begun: list[routines.EyeRoutine] = []

    class Noted(routines.EyeRoutine):
        def __init__(self, start_s: float) -> None:
            super().__init__(start_s)
            begun.append(self)

    monkeypatch.setattr("calibration.eyes.EyeRoutine", Noted)
    monkeypatch.setattr("edge.eyes.renewal.EyeRoutine", Noted)
    return begun


def test_it_listens_to_eye_cameras_that_run_already(
    folder: Path,
    tmp_path: Path,
    publisher: Publisher,
    followed: list[routines.EyeRoutine],
    short: None,
) -> None:
    headset = Headset(publisher, followed)
    try:
        said = calibrate(
            "--profile", str(folder), "--config", str(config(tmp_path, publisher.port))
        )
    finally:
        headset.close()
    assert "saved" in said.lower()
    assert load_profile(folder).eyes[0].open_lids


def test_a_session_on_any_free_port_is_no_obstacle() -> None:
    settings = SessionSettings(streaming=StreamingSettings(publisher_port=0))
    with RunningSession(settings) as session:
        assert not session.sees_another_person()


class Session:
    """Publishes the statuses of a session, of frames at 60 Hz, until it is closed."""

    def __init__(self, publisher: Publisher, *status: Status) -> None:
        self._publisher, self._status = publisher, status
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        eyes = np.zeros((2, 2), np.float32), np.ones(2, np.float32)
        nowhere = np.zeros((2, 3), np.float32)
        for index in itertools.count():
            if self._stop.wait(1 / 60):
                return
            now_ns = time.monotonic_ns()
            self._publisher.publish(
                FaceState(
                    *(index, now_ns / 1e9, now_ns, now_ns, np.zeros((0, 3), np.float32)),
                    *(*eyes, (None, None), nowhere, self._status, "none", "tracker", False),
                )
            )


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (Status.WRONG_PERSON, []),
        (Status.WRONG_PERSON, ["--any-person"]),
        (Status.NO_HEADSET, []),
    ],
)
def test_eyes_of_somebody_whom_the_session_refuses_are_not_saved(
    status: Status,
    options: list[str],
    folder: Path,
    tmp_path: Path,
    publisher: Publisher,
    followed: list[routines.EyeRoutine],
    short: None,
) -> None:
    before = load_profile(folder).eyes
    headset = Headset(publisher, followed)
    try:
        with Publisher(0) as own, Session(own, status):
            path = str(config(tmp_path, publisher.port, own.port))
            if status is Status.WRONG_PERSON and not options:
                with pytest.raises(UserError, match="person in view is not its") as caught:
                    calibrate("--profile", str(folder), "--config", path)
                assert "anna's owner" in caught.value.next_step
                assert load_profile(folder).eyes == before
            else:
                calibrate("--profile", str(folder), "--config", path, *options)
                assert load_profile(folder).eyes[0].open_lids
    finally:
        headset.close()


def test_a_headset_that_tells_parameters_needs_no_calibration(
    folder: Path, tmp_path: Path, publisher: Publisher, short: None
) -> None:
    stop = threading.Event()

    def tell() -> None:
        while not stop.wait(0.02):
            publisher.publish(EyeParameters(Side.LEFT, time.monotonic_ns(), 0.5, None))

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        with pytest.raises(UserError, match="nothing to do"):
            calibrate("--profile", str(folder), "--config", str(config(tmp_path, publisher.port)))
    finally:
        stop.set()
        thread.join()


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def test_a_running_session_is_calibrated_and_centred_over_osc(folder: Path, short: None) -> None:
    fusion = EyeFusion(load_profile(folder).eyes, 10**9)
    wearers = [Wearer(side, camera()) for side in Side]
    with EyeRenewal(fusion, folder) as renewal:
        requests = OscRequests(0, renewal.recalibrate, renewal.recentre)
        sender = SimpleUDPClient("127.0.0.1", requests.port)
        sender.send_message(RECALIBRATE, True)
        wait_for(lambda: renewal.note.startswith("calibrating the eyes: Look straight ahead"))
        notes = set()

        def observe() -> bool:
            note = renewal.note
            notes.add(note)
            phase = next((p for p in routines.PHASES if p.instruction in note), None)
            does = doing(phase.key, 0.6) if phase else doing("ahead", 0.0)
            for wearer in wearers:
                renewal.observe(wearer.seen(time.monotonic_ns(), *does))
            return note.startswith("The eyes are calibrated")

        wait_for(observe)
        assert len(notes) >= len(routines.PHASES)
        learnt = load_profile(folder).eyes
        assert learnt == fusion.calibration
        assert learnt[0].open_lids

        for index in range(40):
            for wearer in wearers:
                time_ns = time.monotonic_ns() + index * 16_000_000
                renewal.observe(wearer.seen(time_ns, 1.0, 0.1, 0.05))
        sender.send_message(RECENTRE, True)
        wait_for(lambda: renewal.note == "The gaze is centred.")
        centred = load_profile(folder).eyes
        assert centred == fusion.calibration
        assert np.array([eye.centre for eye in centred]) == pytest.approx(
            np.array([[0.1, 0.05]] * 2), abs=0.03
        )
        assert [dataclasses.replace(eye, centre=(0.0, 0.0)) for eye in centred] == list(learnt)
        requests.close()


def test_a_routine_that_fails_in_vr_keeps_the_old_calibration(folder: Path, short: None) -> None:
    before = EyeCalibration(0.05, 0.25)
    fusion = EyeFusion((before, before), 10**9)
    with EyeRenewal(fusion, folder) as renewal:
        renewal.recalibrate()
        wait_for(lambda: renewal.note.startswith("Neither eye was seen."))
    assert fusion.calibration == (before, before)


def test_a_routine_in_which_somebody_else_is_seen_is_given_up(folder: Path, short: None) -> None:
    before = load_profile(folder).eyes
    fusion = EyeFusion(before, 10**9)
    wearers = [Wearer(side, camera()) for side in Side]
    is_wrong = threading.Event()
    with EyeRenewal(fusion, folder, is_wrong_person=is_wrong.is_set) as renewal:
        renewal.recalibrate()

        def observe() -> bool:
            phase = next((p for p in routines.PHASES if p.instruction in renewal.note), None)
            if phase is routines.PHASES[-1]:
                is_wrong.set()
            does = doing(phase.key, 0.6) if phase else doing("ahead", 0.0)
            for wearer in wearers:
                renewal.observe(wearer.seen(time.monotonic_ns(), *does))
            return renewal.note.startswith("The eyes are")

        wait_for(observe)
        assert "not calibrated: the person in view is not the profile's" in renewal.note
    assert fusion.calibration == before == load_profile(folder).eyes


def test_the_gaze_is_not_centred_on_somebody_elses(folder: Path) -> None:
    before = load_profile(folder).eyes
    fusion = EyeFusion(before, 10**9)
    with EyeRenewal(fusion, folder, is_wrong_person=lambda: True) as renewal:
        for side in Side:
            renewal.observe(Wearer(side, camera()).seen(time.monotonic_ns(), 1.0, 0.1, 0.05))
        fusion.at(time.monotonic_ns())
        renewal.recentre()
        wait_for(lambda: renewal.note)
        assert "the person in view is not the profile's" in renewal.note
    assert fusion.calibration == before == load_profile(folder).eyes


@pytest.mark.parametrize("ask", [EyeRenewal.recentre, EyeRenewal.recalibrate])
def test_a_headset_that_calibrates_itself_is_not_calibrated_over_osc(
    folder: Path, short: None, ask: Callable[[EyeRenewal], None]
) -> None:
    """Each press told that the gaze was centred, changed nothing, and moved the profile's centre.

    The routine ended with "neither eye was seen" and a word on cameras that there are none of.
    """
    before = load_profile(folder).eyes
    fusion = EyeFusion(before, 10**9)
    with EyeRenewal(fusion, folder) as renewal:
        for side in Side:
            told = EyeParameters(side, time.monotonic_ns(), 1.0, np.array([0.2, 0.0], np.float32))
            renewal.observe(told)
        fusion.at(time.monotonic_ns())
        ask(renewal)
        wait_for(lambda: renewal.note and not renewal.note.startswith("calibrating"))
        assert "by its own calibration; there is nothing to do" in renewal.note
    assert fusion.calibration == before == load_profile(folder).eyes


def test_a_running_session_takes_over_what_another_program_saved(folder: Path) -> None:
    profile = load_profile(folder)
    fusion = EyeFusion(profile.eyes, 10**9)
    with EyeRenewal(fusion, folder) as renewal:
        new = EyeCalibration(0.03, 0.22)
        save_profile(dataclasses.replace(profile, eyes=(new, new)), folder)
        wait_for(lambda: fusion.calibration == (new, new))
        assert renewal.note == "A new eye calibration is in use."


def test_a_session_keeps_the_capture_that_it_began_with(folder: Path) -> None:
    """New eyes on old views would be half of each; and the old eyes do not go into the new one."""
    profile = load_profile(folder)
    fusion = EyeFusion(profile.eyes, 10**9)
    new = EyeCalibration(0.03, 0.22)
    with EyeRenewal(fusion, folder, made=profile.made) as renewal:
        again = dataclasses.replace(profile, eyes=(new, new), made="2031-01-01T00:00:00Z")
        save_profile(again, folder)
        wait_for(lambda: "captured anew" in renewal.note)
        assert fusion.calibration == profile.eyes
        for side in Side:
            renewal.observe(Wearer(side, camera()).seen(time.monotonic_ns(), 1.0, 0.1, 0.05))
        renewal.recentre()
        wait_for(lambda: "for this session alone" in renewal.note)
    assert fusion.calibration != profile.eyes
    assert load_profile(folder).eyes == (new, new)


def test_a_session_takes_over_the_eyes_of_its_own_capture(folder: Path) -> None:
    profile = load_profile(folder)
    fusion = EyeFusion(profile.eyes, 10**9)
    new = EyeCalibration(0.03, 0.22)
    with EyeRenewal(fusion, folder, made=profile.made):
        update_profile(folder, lambda known: dataclasses.replace(known, eyes=(new, new)))
        wait_for(lambda: fusion.calibration == (new, new))


def test_an_unexpected_error_is_said_once_and_the_renewal_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    profile = load_profile(folder)
    fusion = EyeFusion(profile.eyes, 10**9)
    failures = iter(["no such frame"] * 3)

    def is_wrong_person() -> bool:
        for words in failures:
            raise IndexError(words)
        return False

    with EyeRenewal(fusion, folder, is_wrong_person=is_wrong_person) as renewal:
        wait_for(lambda: "no such frame" in renewal.note)
        new = EyeCalibration(0.03, 0.22)
        save_profile(dataclasses.replace(profile, eyes=(new, new)), folder)
        wait_for(lambda: fusion.calibration == (new, new))
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1


def test_a_button_that_is_held_asks_once_and_noise_asks_nothing() -> None:
    asked: list[str] = []
    requests = OscRequests(0, lambda: asked.append("again"), lambda: asked.append("centre"))
    sender = SimpleUDPClient("127.0.0.1", requests.port)
    for value in (True, 1, 1.0, False, 0, True):
        sender.send_message(RECALIBRATE, value)
    sender.send_message("/avatar/parameters/other", True)
    sender._sock.sendto(b"no osc at all", ("127.0.0.1", requests.port))
    sender.send_message(RECENTRE, 1.0)
    wait_for(lambda: "centre" in asked)
    assert asked == ["again", "again", "centre"]
    with pytest.raises(UserError, match="request_port"):
        OscRequests(requests.port, lambda: None, lambda: None)
    requests.close()
