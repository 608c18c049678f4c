from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from saved_profiles import OLD, small_profile

from edge.child import Child
from edge.profile import DOCUMENT, is_encrypted, load_profile, save_profile, sealing
from edge.profile.passphrase import FD_VARIABLE, VARIABLE, without_secret
from edge.profile.sealing import Damaged, Lock, WrongPassphrase, unseal
from edge.profile.unlock import lock_for
from edge.settings import SessionSettings, override, to_json
from streaming.errors import UserError

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little work per guess, and no passphrase from the developer's own environment."""
    monkeypatch.setattr(sealing, "SCRYPT_N", 1 << 10)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv(FD_VARIABLE, raising=False)


def quick_lock(passphrase: str = PASSPHRASE) -> Lock:
    return Lock.new(passphrase)


def save_encrypted(folder: Path) -> None:
    save_profile(dataclasses.replace(small_profile(OLD), lock=quick_lock()), folder)


def test_the_usual_work_per_guess_is_great() -> None:
    """RFC 7914 and OWASP: at least 2^17 with blocks of 8."""
    assert Lock(b"", b"", b"").n == 1 << 17


def test_an_encrypted_profile_opens_with_its_passphrase(tmp_path: Path) -> None:
    save_encrypted(tmp_path / "anna")
    assert is_encrypted(tmp_path / "anna")
    loaded = load_profile(tmp_path / "anna", PASSPHRASE)
    assert loaded.quality == {"sharpness": OLD}
    assert (loaded.references[0].image == small_profile(OLD).references[0].image).all()


def test_a_wrong_passphrase_is_told_as_such(tmp_path: Path) -> None:
    save_encrypted(tmp_path / "anna")
    with pytest.raises(UserError, match="passphrase of the profile anna is wrong"):
        load_profile(tmp_path / "anna", "not this one")


def test_a_missing_passphrase_says_how_to_give_it(tmp_path: Path) -> None:
    save_encrypted(tmp_path / "anna")
    with pytest.raises(UserError, match=f"encrypted.*{FD_VARIABLE}"):
        load_profile(tmp_path / "anna")


def test_the_passphrase_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_encrypted(tmp_path / "anna")
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    assert load_profile(tmp_path / "anna").quality
    monkeypatch.delenv(VARIABLE)
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode() + b"\n")
    os.close(writing)
    monkeypatch.setenv(FD_VARIABLE, str(reading))
    assert load_profile(tmp_path / "anna").quality
    assert load_profile(tmp_path / "anna").quality  # a pipe can be read once, a profile twice
    assert without_secret(os.environ).keys() == os.environ.keys() - {FD_VARIABLE}


def test_no_clear_bytes_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    real = os.write

    def remembered(descriptor: int, content: bytes) -> int:
        written.append(bytes(content))
        return real(descriptor, content)

    monkeypatch.setattr(os, "write", remembered)
    save_encrypted(tmp_path / "anna")
    assert written
    for content in (*written, *(path.read_bytes() for path in (tmp_path / "anna").iterdir())):
        for clear in (b"PNG", b"sharpness", b"mesh_0", b"references", b"IDAT"):
            assert clear not in content
    assert {p.name.split(".")[0] for p in (tmp_path / "anna").iterdir()} == {"profile", "sealed"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "anna").iterdir()} == {0o600}


def test_encrypting_removes_the_clear_files_and_changing_it_stays_encrypted(
    tmp_path: Path,
) -> None:
    save_profile(small_profile(OLD), tmp_path / "anna")
    loaded = load_profile(tmp_path / "anna")
    save_profile(dataclasses.replace(loaded, lock=quick_lock()), tmp_path / "anna")
    assert not list((tmp_path / "anna").glob("*.png"))
    again = load_profile(tmp_path / "anna", PASSPHRASE)
    save_profile(dataclasses.replace(again, quality={"sharpness": 1.0}), tmp_path / "anna")
    assert is_encrypted(tmp_path / "anna")
    assert load_profile(tmp_path / "anna", PASSPHRASE).quality == {"sharpness": 1.0}


def test_an_encrypted_profile_is_not_replaced_by_a_clear_one_by_accident(tmp_path: Path) -> None:
    save_encrypted(tmp_path / "anna")
    with pytest.raises(UserError, match="encrypted"):
        save_profile(small_profile(OLD), tmp_path / "anna")
    with pytest.raises(UserError, match="--encrypt"):
        lock_for(tmp_path / "anna", encrypt=False)
    save_profile(small_profile(OLD), tmp_path / "anna", may_decrypt=True)
    assert not is_encrypted(tmp_path / "anna")


def test_a_new_passphrase_is_asked_for_and_must_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UserError, match="too short"):
        lock_for(tmp_path / "anna", encrypt=True)
    monkeypatch.setenv(VARIABLE, "long enough")
    lock = lock_for(tmp_path / "anna", encrypt=True)
    assert lock is not None
    assert unseal(lock.seal(b"content"), "long enough")[0] == b"content"


def test_a_changed_file_is_told_from_a_wrong_passphrase(tmp_path: Path) -> None:
    """Also when whoever changed it set the checksum right."""
    save_encrypted(tmp_path / "anna")
    (path,) = (tmp_path / "anna").glob("sealed.*")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="checksum"):
        load_profile(tmp_path / "anna", PASSPHRASE)
    document = json.loads((tmp_path / "anna" / DOCUMENT).read_text())
    document["sealed"]["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "anna" / DOCUMENT).write_text(json.dumps(document))
    with pytest.raises(UserError, match="authentication fails"):
        load_profile(tmp_path / "anna", PASSPHRASE)


def test_sealing_twice_gives_other_bytes() -> None:
    lock = quick_lock()
    assert lock.seal(b"face") != lock.seal(b"face")


@settings(max_examples=60, deadline=None)
@hypothesis_given(data=st.data())
def test_no_byte_of_a_sealed_file_can_change_unnoticed(data: st.DataObject) -> None:
    sealed = Lock.new(PASSPHRASE).seal(b"the face")
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((Damaged, WrongPassphrase)):
        unseal(bytes(changed), PASSPHRASE)


@settings(max_examples=100, deadline=None)
@hypothesis_given(content=st.binary(max_size=300), starts=st.booleans())
def test_rubbish_is_no_sealed_file(content: bytes, starts: bool) -> None:
    with pytest.raises(Damaged):
        unseal(sealing.MAGIC + content if starts else content, PASSPHRASE)


@pytest.mark.parametrize("change", [{"n": 1 << 30}, {"n": 1000}, {"r": 1 << 20}, {"salt": "00"}])
def test_a_header_that_asks_for_unreasonable_work_is_refused(change: dict[str, object]) -> None:
    magic, header, body = Lock.new(PASSPHRASE).seal(b"face").split(b"\n", 2)
    tree = {**json.loads(header), **change}
    with pytest.raises(Damaged):
        unseal(b"\n".join([magic, json.dumps(tree).encode(), body]), PASSPHRASE)


@pytest.mark.parametrize(
    ("passphrase", "told"),
    [(PASSPHRASE, "nowhere.mp4"), ("another secret", "is wrong")],
    ids=["right", "other"],
)
def test_the_worker_gets_the_passphrase_by_a_pipe_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passphrase: str, told: str
) -> None:
    save_encrypted(tmp_path / "anna")
    changes = {
        "edge.profile": str(tmp_path / "anna"),
        "edge.camera.source": str(tmp_path / "nowhere.mp4"),
        "edge.landmarks": "mediapipe",
        "models.filler": "paste",
        "streaming.control_port": 0,
        "streaming.publisher_port": 0,
    }
    path = tmp_path / "settings.json"
    path.write_text(to_json(override(SessionSettings(), changes)))
    monkeypatch.setenv(VARIABLE, passphrase)  # as the user's shell may have it
    child = Child("edge", "edge.worker", [str(path)], passphrase)
    try:
        shown = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        shown += Path(f"/proc/{child.pid}/environ").read_bytes()
        event = child.next_event(60)
    finally:
        child.stop()
    assert event is not None
    assert event["event"] == "error"
    assert told in str(event["message"])
    assert FD_VARIABLE.encode() in shown
    assert passphrase.encode() not in shown
