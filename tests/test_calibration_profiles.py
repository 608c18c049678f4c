from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from saved_profiles import NEW, OLD, small_profile, write_schema1

from calibration.profiles.transfer import write_private
from edge.__main__ import main
from edge.light.part import light_of_views
from edge.plate.part import HeadPlate
from edge.profile import (
    DOCUMENT,
    EyeCalibration,
    Part,
    SessionProfile,
    is_encrypted,
    load_profile,
    profile_path,
    save_profile,
    sealing,
)
from edge.profile.passphrase import FD_VARIABLE, VARIABLE
from edge.setup.part import CaptureSetup
from models.filling import Reference
from streaming.errors import UserError

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(FD_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data" / "unvisor" / "profiles"


def profiles(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["profiles", *arguments])
    return int(ended.value.code or 0)


def type_answers(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Somebody at a terminal who types these lines unseen."""
    left = list(answers)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: left.pop(0))


def test_the_list_tells_what_each_profile_is(
    capsys: pytest.CaptureFixture[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated = (EyeCalibration(0.1, 0.3, (0.0, 0.0), (2.2, 0.1, -0.1, -2.4)),) * 2
    save_profile(dataclasses.replace(small_profile(OLD), eyes=calibrated), own_folder / "anna")
    save_profile(
        dataclasses.replace(small_profile(OLD), lock=sealing.Lock.new(PASSPHRASE)),
        own_folder / "bert",
    )
    write_schema1(small_profile(OLD), own_folder / "carl")
    (own_folder / "dora").mkdir()
    (own_folder / "dora" / DOCUMENT).write_text("{")
    (own_folder / "left over").mkdir()
    (own_folder / "left over" / "profile.json.draft").write_text("{")
    assert profiles("list", "--json") == 0
    told = {p["name"]: p for p in json.loads(capsys.readouterr().out)["profiles"]}
    assert list(told) == ["anna", "bert", "carl", "dora"]
    assert (told["anna"]["views"], told["anna"]["eyes_calibrated"]) == (2, True)
    assert told["anna"]["size_bytes"] > 5000
    assert (told["bert"]["encrypted"], told["bert"]["views"]) == (True, None)
    assert (told["carl"]["views"], told["carl"]["eyes_calibrated"]) == (2, False)
    assert "cannot" in told["dora"]["problem"] or "damaged" in told["dora"]["problem"]
    assert os.listdir(own_folder / "left over") == []
    assert profiles("list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in told)


def test_an_empty_list_names_the_command_that_makes_a_profile(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert profiles("list") == 0
    assert "calibrate-reference" in capsys.readouterr().out


def test_show_tells_a_person_words_and_no_keys(
    capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    """It once listed `frame_index 5` and gave the time of another time zone."""
    quality = {"frame_index": 5.0, "trial_psnr_masked_db": 27.69, "novelty": 1.0}
    made = dataclasses.replace(small_profile(OLD), quality=quality, made="2026-11-21T10:00:00Z")
    save_profile(made, own_folder / "anna")
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("TZ", "UTC-2")
        time.tzset()
        assert profiles("show", "anna") == 0
    time.tzset()
    shown = capsys.readouterr().out
    assert "2026-11-21 12:00" in shown
    assert "2, of 32 to 32 px" in shown
    assert "PSNR 27.7 dB inside the mask" in shown
    assert "novelty 1" in shown
    assert "frame_index" not in shown


def test_show_tells_quality_and_parts_and_writes_the_thumbnail_when_asked(
    capsys: pytest.CaptureFixture[str], own_folder: Path, tmp_path: Path
) -> None:
    parts = dataclasses.replace(small_profile(OLD), report=Part(), others={"dreams": Part()})
    save_profile(parts, own_folder / "anna")
    assert profiles("show", "anna", "--json", "--thumbnail", "anna.png") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quality"] == {"sharpness": OLD}
    assert (told["parts"], told["unknown_parts"]) == (["report"], ["dreams"])
    assert [view["size_px"] for view in told["views"]] == [32, 32]
    picture = cv2.imread(str(tmp_path / "anna.png"))
    assert (picture == small_profile(OLD).references[0].image).all()
    assert stat.S_IMODE((tmp_path / "anna.png").stat().st_mode) == 0o600
    assert profiles("show", "anna", "--thumbnail", "anna.png") == 1
    assert profiles("show", "anna", "--thumbnail", "anna.gif") == 1
    assert profiles("show", "anna", "--thumbnail", "anna.png", "--replace") == 0


def test_show_tells_of_a_picture_of_the_room_and_drop_deletes_it(
    capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    room = np.zeros((36, 64, 3), np.uint8)
    plate = HeadPlate(room, room[..., 0], ())
    save_profile(dataclasses.replace(small_profile(OLD), plate=plate), own_folder / "anna")
    assert profiles("show", "anna") == 0
    assert "a picture of it, 64×36 px" in capsys.readouterr().out
    assert profiles("drop", "anna", "plate") == 0
    assert "bytes were not overwritten" in " ".join(capsys.readouterr().out.split())
    assert not list((own_folder / "anna").glob("plate*"))
    assert profiles("show", "anna", "--json") == 0
    assert json.loads(capsys.readouterr().out)["room_px"] is None


def test_show_tells_of_the_light_on_the_skin(
    capsys: pytest.CaptureFixture[str], own_folder: Path, canonical_mesh: np.ndarray
) -> None:
    image = np.full((256, 256, 3), (110, 135, 180), np.uint8)
    made = SessionProfile((Reference(image, canonical_mesh),))
    save_profile(
        dataclasses.replace(made, light=light_of_views(made.references)), own_folder / "anna"
    )
    assert profiles("show", "anna") == 0
    assert "light     skin L* 60 ± 0, a* 14 ± 0, b* 20 ± 0; evenly lit; 0.0%" in (
        capsys.readouterr().out
    )
    assert profiles("show", "anna", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["light"]["views"] == 1
    assert told["light"]["brightness"] == pytest.approx(145, abs=2)


def test_show_tells_the_camera_of_the_capture_which_travels_to_another_machine(
    capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    setup = CaptureSetup(
        "webcam", (640, 480), 30.0, "mediapipe", "0.10", "/dev/video9", "9", "Desk"
    )
    save_profile(dataclasses.replace(small_profile(OLD), setup=setup), own_folder / "anna")
    assert profiles("show", "anna") == 0
    assert "setup     Desk (webcam:/dev/video9), 640×480 px, 30 fps" in capsys.readouterr().out
    assert profiles("export", "anna", "--plain") == 0
    assert profiles("import", "anna.unvisor", "--name", "bert") == 0
    capsys.readouterr()
    assert profiles("show", "bert", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["setup"]["camera_id"], told["light"]) == ("/dev/video9", None)
    assert profiles("drop", "bert", "setup") == 0
    assert load_profile(own_folder / "bert").setup is None


def test_an_encrypted_profile_is_shown_after_its_passphrase(
    capsys: pytest.CaptureFixture[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    type_answers(monkeypatch, PASSPHRASE, "not this one", PASSPHRASE, PASSPHRASE)
    assert profiles("encrypt", "anna") == 0
    assert is_encrypted(own_folder / "anna")
    assert "SSD" in capsys.readouterr().out
    assert profiles("show", "anna") == 1
    assert "passphrase of the profile anna is wrong" in capsys.readouterr().err
    assert profiles("show", "anna", "--json") == 0
    assert json.loads(capsys.readouterr().out)["encrypted"]
    assert profiles("encrypt", "anna") == 1
    assert profiles("decrypt", "anna") == 0
    assert not is_encrypted(own_folder / "anna")
    assert profiles("decrypt", "anna") == 1


def test_without_a_terminal_nothing_hangs_waiting_for_a_passphrase(
    capsys: pytest.CaptureFixture[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert profiles("encrypt", "anna") == 1
    assert FD_VARIABLE in capsys.readouterr().err


def test_deleting_asks_first_and_is_honest_about_what_remains(
    capsys: pytest.CaptureFixture[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert profiles("delete", "anna") == 1
    assert load_profile(own_folder / "anna")
    assert profiles("delete", "anna", "--yes") == 0
    assert "not overwritten" in capsys.readouterr().out
    assert not (own_folder / "anna").exists()
    assert profiles("delete", "anna", "--yes") == 1
    assert "There is no profile anna" in capsys.readouterr().err


def test_a_damaged_profile_can_be_deleted_and_other_files_in_its_folder_stay(
    capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    (own_folder / "anna" / DOCUMENT).write_text("rubbish")
    (own_folder / "anna" / "letter.txt").write_text("dear Anna")
    assert profiles("delete", "anna", "--yes") == 0
    assert os.listdir(own_folder / "anna") == ["letter.txt"]
    assert "letter.txt" in capsys.readouterr().out


def test_a_profile_that_is_kept_elsewhere_is_saved_and_deleted_there(
    own_folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "disk" / "anna"
    save_profile(small_profile(OLD), elsewhere)
    own_folder.mkdir(parents=True)
    (own_folder / "anna").symlink_to(elsewhere)
    save_profile(small_profile(NEW), own_folder / "anna")
    assert (own_folder / "anna").is_symlink()
    assert load_profile(elsewhere).quality["sharpness"] == NEW
    assert profiles("delete", "anna", "--yes") == 0
    assert not elsewhere.exists()
    assert not (own_folder / "anna").is_symlink()


def test_what_is_written_over_a_link_stays_where_the_link_leads(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.json", tmp_path / "link.json"
    kept.write_text("old")
    link.symlink_to(kept)
    with pytest.raises(UserError, match="there already"):
        write_private(link, b"new")
    assert kept.read_text() == "old"
    write_private(link, b"new", replace=True)
    assert link.is_symlink()
    assert kept.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["kept.json", "link.json"]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a\nb", "x" * 300])
def test_names_that_lead_elsewhere_are_refused(name: str, own_folder: Path) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    assert profiles("delete", "--yes", "--", name) == 1
    assert load_profile(own_folder / "anna")


def test_a_profile_travels_encrypted_by_default(
    capsys: pytest.CaptureFixture[str],
    own_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = Part({"x": 1}, {"y": np.arange(3)}, {"z": np.zeros((4, 5, 3), np.uint8)})
    save_profile(
        dataclasses.replace(small_profile(OLD), others={"dreams": part}), own_folder / "anna"
    )
    type_answers(monkeypatch, PASSPHRASE, "not this one", PASSPHRASE)
    assert profiles("export", "anna") == 0
    file = tmp_path / "anna.unvisor"
    assert sealing.is_sealed(file.read_bytes())
    assert b"PNG" not in file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [file.name]
    assert profiles("import", str(file), "--name", "bert") == 1
    assert "passphrase of the file is wrong" in capsys.readouterr().err
    assert profiles("import", str(file), "--name", "bert") == 0
    assert "--encrypt" in capsys.readouterr().out
    loaded = load_profile(own_folder / "bert")
    assert loaded.quality == {"sharpness": OLD}
    assert loaded.others["dreams"].document == {"x": 1}
    assert (loaded.references[1].image == small_profile(OLD).references[1].image).all()


def test_a_clear_export_must_be_asked_for_and_says_so(
    capsys: pytest.CaptureFixture[str], own_folder: Path, tmp_path: Path
) -> None:
    save_profile(small_profile(OLD), own_folder / "anna")
    assert profiles("export", "anna", "--plain", "--out", "a.unvisor") == 0
    assert "not encrypted" in capsys.readouterr().out
    assert profiles("export", "anna", "--plain", "--out", "a.unvisor") == 1  # there already
    assert profiles("export", "anna", "--plain", "--out", "a.unvisor", "--replace") == 0
    assert profiles("import", "a.unvisor") == 0
    assert load_profile(profile_path("a")).quality == {"sharpness": OLD}


def test_an_import_does_not_overwrite_unless_told(
    capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    save_profile(small_profile(NEW), own_folder / "anna")
    assert profiles("export", "anna", "--plain") == 0
    save_profile(small_profile(OLD), own_folder / "anna")
    assert profiles("import", "anna.unvisor") == 1
    assert "--replace" in capsys.readouterr().err
    assert load_profile(own_folder / "anna").quality == {"sharpness": OLD}
    assert profiles("import", "anna.unvisor", "--replace") == 0
    assert load_profile(own_folder / "anna").quality == {"sharpness": NEW}


def test_an_import_can_be_kept_under_a_passphrase(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_profile(small_profile(NEW), own_folder / "anna")
    assert profiles("export", "anna", "--plain") == 0
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    assert profiles("import", "anna.unvisor", "--name", "bert", "--encrypt") == 0
    assert is_encrypted(own_folder / "bert")
    assert profiles("import", "anna.unvisor", "--name", "bert", "--replace") == 1


def test_a_thread_that_saves_meanwhile_does_not_bring_a_deleted_profile_back_in_parts(
    own_folder: Path,
) -> None:
    folder = own_folder / "anna"
    save_profile(small_profile(OLD), folder)
    troubles: list[BaseException] = []

    def save() -> None:
        try:
            for _ in range(10):
                save_profile(small_profile(NEW), folder)
        except BaseException as error:
            troubles.append(error)

    saver = threading.Thread(target=save)
    saver.start()
    while saver.is_alive():
        profiles("delete", "anna", "--yes")
    saver.join()
    assert not troubles
    if folder.exists():
        assert load_profile(folder).quality == {"sharpness": NEW}


def test_a_profile_that_may_not_be_read_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "bea"):
        save_profile(small_profile(OLD), own_folder / name)
    exists = Path.exists

    def guarded(path: Path) -> bool:
        if path.parent.name == "anna":  # the tests may run as root, whom nothing is forbidden
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", guarded)
    assert profiles("list", "--json") == 0
    anna, bea = json.loads(capsys.readouterr().out)["profiles"]
    assert "cannot be read: Permission denied" in anna["problem"]
    assert (bea["name"], bea["problem"]) == ("bea", "")


def test_an_export_onto_a_stick_that_knows_no_links_is_written_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On FAT and exFAT it was not permitted, and another place was asked for."""

    def unknown(draft: Path, path: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unknown)
    path = tmp_path / "anna.unvisor"
    write_private(path, b"one")
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="is there already"):
        write_private(path, b"two")
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["anna.unvisor"]
