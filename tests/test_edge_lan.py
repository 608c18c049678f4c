"""A whole session that other machines may reach: what is asked of the user, and who gets in."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.child import Child
from edge.hmd_process import HmdProcess
from edge.own_client import notify_session
from edge.run import run
from edge.settings import SessionSettings, load_toml, override
from hmd_capture.__main__ import capture
from streaming.clock import PublishingClock
from streaming.control import PAUSE, ControlServer
from streaming.endpoints import AddressNotAllowed
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.security.door import InsecureLan, open_guard
from streaming.security.keys import KeyFolder
from streaming.subscriber import Subscriber
from streaming.topics import EYES

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFolder:
    """The user's folder of keys, in a place of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return KeyFolder()


@pytest.fixture
def heard() -> list[Notification]:
    return []


@pytest.fixture(params=["keys", "insecure"])
def session(
    request: pytest.FixtureRequest, own_folder: KeyFolder, heard: list[Notification]
) -> Iterator[SessionSettings]:
    """Settings of a session whose control socket listens on all networks."""
    own_folder.ensure_server()  # also where it is not used
    with (
        open_guard("0.0.0.0", None, request.param == "insecure") as guard,
        ControlServer(1, heard.append, PublishingClock(), 0, "0.0.0.0", guard) as control,
    ):
        assert isinstance(guard, InsecureLan) == (request.param == "insecure")
        changes = {"streaming.host": "0.0.0.0", "streaming.control_port": control.port}
        yield override(SessionSettings(), changes)


def test_listening_to_other_machines_without_keys_names_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--host", "0.0.0.0", "--profile", "anna"])
    assert ended.value.code == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "Refusing to listen on 0.0.0.0" in shown
    assert "`unvisor keys new NAME`" in shown
    assert "--insecure-lan" in shown


@pytest.mark.parametrize("allowing", ["with keys", "typed out"])
def test_with_keys_or_the_word_typed_out_the_next_question_is_the_profile(
    own_folder: KeyFolder, allowing: str
) -> None:
    if allowing == "with keys":
        own_folder.ensure_server()
    with pytest.raises(UserError, match="profile"):
        run(host="0.0.0.0", insecure_lan=allowing == "typed out")


def test_a_config_file_may_name_the_host_but_not_do_without_keys(tmp_path: Path) -> None:
    path = tmp_path / "unvisor.toml"
    path.write_text('[streaming]\nhost = "0.0.0.0"\n')
    with pytest.raises(AddressNotAllowed):
        run(config=path)
    for key in ("insecure_lan", "insecure-lan"):
        path.write_text(f'[streaming]\nhost = "0.0.0.0"\n{key} = true\n')
        with pytest.raises(UserError, match="Unknown key"):
            load_toml(path)


def test_the_pause_key_works_whether_the_session_is_encrypted_or_not(
    session: SessionSettings, heard: list[Notification]
) -> None:
    """A pause that fails would go on sending the wearer's face."""
    notify_session(session, PAUSE)
    assert [word.subject for word in heard] == [PAUSE]


def test_eye_landmarks_leave_the_machine_with_keys_only(
    own_folder: KeyFolder, tmp_path: Path
) -> None:
    feed = free_port()
    with pytest.raises(AddressNotAllowed, match="unvisor keys new"):
        capture(feed=f"127.0.0.1:{feed}", publish=f"0.0.0.0:{free_port()}")
    keys = own_folder.new_client("edge", tmp_path / "edge.key")
    publish = free_port()
    child = Child("eyes", "hmd_capture", ["--feed", f"{feed}", "--publish", f"0.0.0.0:{publish}"])
    try:
        with (
            Subscriber(f"127.0.0.1:{publish}", EYES, keys) as let_in,
            Subscriber(f"127.0.0.1:{publish}", EYES) as shut_out,
        ):
            wait_until(lambda: let_in.is_connected and shut_out.trouble)
            assert let_in.trouble is None
    finally:
        child.stop()


def test_an_eye_program_on_another_machine_is_not_started_here() -> None:
    process = HmdProcess(override(SessionSettings(), {"hmd_capture.key": "edge.key"}))
    process.start()
    assert process.check() == ""
    assert process.restarts == 0
    process.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
