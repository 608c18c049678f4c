from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import pytest
import zmq
import zmq.auth
from typer.testing import CliRunner

from edge.__main__ import main
from streaming.errors import UserError
from streaming.security.keys import (
    KeyFolder,
    check_name,
    keys_folder,
    load_client,
    new_pair,
    public_key,
    public_key_or_file,
    read_key_file,
)
from streaming.security.keys_command import keys as app

only_posix = pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "share" / "keys")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def unvisor_keys(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert outcome.exit_code == 0
    return outcome.stdout


@only_posix
def test_only_the_owner_can_read_keys(folder: KeyFolder, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder.new_client("anna", tmp_path / "anna.key")
    finally:
        os.umask(before)
    assert [mode(path) for path in (folder.path, folder.allowed_path)] == [0o700, 0o700]
    files = [tmp_path / "anna.key", *(p for p in folder.path.rglob("*") if p.is_file())]
    assert len(files) == 4
    assert {mode(path) for path in files} == {0o600}


@only_posix
@pytest.mark.parametrize("place", ["server.key", "."])
def test_a_server_key_that_others_can_read_is_refused_with_the_remedy(
    folder: KeyFolder, place: str
) -> None:
    folder.ensure_server()
    (folder.path / place).chmod(0o755)
    with pytest.raises(UserError, match=r"other users.*chmod go="):
        folder.server()


def test_the_server_keeps_no_secret_of_its_clients(folder: KeyFolder, tmp_path: Path) -> None:
    keys = folder.new_client("anna", tmp_path / "anna.key")
    for path in folder.path.rglob("*"):
        assert path.is_dir() or keys.secret not in path.read_text()
    assert load_client(tmp_path / "anna.key") == keys
    assert folder.allowed() == {"anna": keys.public}


def test_a_client_may_make_its_keys_itself_so_that_its_secret_never_travels(
    folder: KeyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder.ensure_server()
    unvisor_keys("new", "bert", "--server-key", str(folder.path / "server.pub"))
    assert folder.allowed() == {}
    assert "secret" not in read_key_file(tmp_path / "bert.pub")
    unvisor_keys("allow", "bert.pub", "--folder", str(folder.path))
    keys = load_client(tmp_path / "bert.key")
    assert folder.allowed() == {"bert": keys.public}
    assert keys.server == folder.server().public


def test_allowing_a_secret_file_stores_its_public_half_only(
    folder: KeyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server = new_pair().public
    unvisor_keys("new", "bert", "--server-key", server)
    unvisor_keys("allow", "bert.key", "--folder", str(folder.path))
    secret = read_key_file(tmp_path / "bert.key")["secret-key"]
    assert secret not in (folder.allowed_path / "bert.pub").read_text()


def test_the_commands_make_list_and_revoke(
    folder: KeyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = ("--folder", str(folder.path))
    assert "No keys yet" in unvisor_keys("list", *place)
    assert "--key anna.key" in unvisor_keys("new", "anna", *place)
    other = new_pair().public
    unvisor_keys("allow", other, "--name", "carl", *place)
    listed = json.loads(unvisor_keys("list", "--json", *place))
    assert listed["server"] == folder.server().public
    assert listed["allowed"] == {"anna": load_client(Path("anna.key")).public, "carl": other}
    shown = unvisor_keys("list", *place)
    assert other in shown
    assert folder.server().public in shown
    assert folder.server().secret not in shown
    unvisor_keys("revoke", "anna", *place)
    unvisor_keys("revoke", "carl", *place)
    assert "No client is allowed" in unvisor_keys("list", *place)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["new", "../anna"], "cannot name a client"),
        (["new", "anna", "--out", "/nowhere/anna.key"], "Cannot write"),
        (["revoke", "nobody"], "No client named 'nobody'"),
        (["allow", "x" * 300], "Cannot read the key file"),
        (["allow", "nothing.pub"], "Cannot read the key file"),
        (["allow", new_pair().public], "--name"),
    ],
)
def test_a_users_mistake_is_one_sentence(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert told in " ".join(shown.split())
    assert "Traceback" not in shown


def test_nothing_is_overwritten(folder: KeyFolder, tmp_path: Path) -> None:
    path = tmp_path / "anna.key"
    folder.new_client("anna", path)
    with pytest.raises(UserError, match="allowed already"):
        folder.new_client("anna", tmp_path / "other.key")
    with pytest.raises(UserError, match="exists already"):
        folder.new_client("bert", path)
    assert not (tmp_path / "other.key").exists()
    assert list(folder.allowed()) == ["anna"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "-x", "x" * 65, "ä", "a\n", "a\0"])
def test_names_that_are_no_plain_file_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name"):
        check_name(name)


@pytest.mark.parametrize("text", ["", "short", "#" * 40, "a" * 41, "ä" * 40, "a" * 39 + "\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no public key"):
        public_key(text)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff" * 100, b"curve\n    public-key = \n", b"x" * 100_000],
)
def test_files_that_hold_no_key_are_refused(
    folder: KeyFolder, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "anna.key"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no key file"):
        load_client(path)
    folder.new_client("bert", tmp_path / "bert.key")
    (folder.allowed_path / "anna.pub").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert list(folder.allowed()) == ["bert"]
    assert "ignored" in caplog.text


def test_a_secret_that_does_not_fit_is_refused(folder: KeyFolder, tmp_path: Path) -> None:
    path = tmp_path / "anna.key"
    keys = folder.new_client("anna", path)
    path.write_text(path.read_text().replace(keys.secret, new_pair().secret))
    with pytest.raises(UserError, match="does not hold a secret key that fits"):
        load_client(path)


def test_another_server_key_goes_before_the_one_in_the_file(
    folder: KeyFolder, tmp_path: Path
) -> None:
    folder.new_client("anna", tmp_path / "anna.key")
    other = new_pair().public
    assert load_client(tmp_path / "anna.key", other).server == other
    own = str(folder.path / "server.pub")
    assert load_client(tmp_path / "anna.key", own).server == folder.server().public
    assert public_key_or_file(own) == (folder.server().public, "server")


def test_other_programs_can_read_the_files(folder: KeyFolder, tmp_path: Path) -> None:
    """The format is CZMQ's, which pyzmq reads, too."""
    keys = folder.new_client("anna", tmp_path / "anna.key")
    public, secret = zmq.auth.load_certificate(tmp_path / "anna.key")
    assert (public.decode(), (secret or b"").decode()) == (keys.public, keys.secret)
    public, secret = zmq.auth.load_certificate(folder.path / "server.pub")
    assert (public.decode(), secret) == (folder.server().public, None)


def test_the_server_key_stays_the_same_whoever_asks_first(folder: KeyFolder) -> None:
    pairs: list[str] = []
    threads = [
        threading.Thread(target=lambda: pairs.append(folder.ensure_server().public))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == 8
    assert set(pairs) == {folder.server().public}
    assert public_key_or_file(str(folder.path / "server.pub"))[0] == folder.server().public
    assert sorted(path.name for path in folder.path.iterdir()) == ["server.key", "server.pub"]


def test_keys_lie_where_the_users_data_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert keys_folder() == Path("/data/unvisor/keys")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert keys_folder() == Path.home() / ".local/share/unvisor/keys"
