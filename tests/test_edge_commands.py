from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.__main__ import COMMANDS, grouped_commands, main
from edge.child import Child
from edge.preview import Preview
from edge.preview_address import preview_url, with_preview_port
from edge.settings import SessionSettings, override
from edge.terminal_log import show_log
from edge.timing import Samples, StageTimes

ROOT = Path(__file__).resolve().parent.parent


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_help_groups_every_command_once_and_begins_with_the_main_job() -> None:
    listed = [name for names in grouped_commands().values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)
    assert listed[0] == "demo"
    assert listed.index("run") < listed.index("watch") < listed.index("train")


def test_help_names_default_files_as_seen_from_the_checkout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_main("build-engine", "--help") == 0
    shown = capsys.readouterr().out
    assert "models/weights/unvisor.onnx" in shown
    assert str(ROOT) not in shown


def test_help_fills_the_lines_of_a_wide_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run_main("watch", "--help") == 0
    shown = capsys.readouterr().out.splitlines()
    assert any("Ages are true" in line and "a camera or a page." in line for line in shown)
    assert not any("drops, status" in line and "Ages are true" in line for line in shown)


def test_an_unknown_command_is_refused_and_the_likely_one_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main("fly") == 2
    assert "fly" in capsys.readouterr().err
    assert run_main("recrod") == 2
    assert "Did you mean record" in capsys.readouterr().err


def test_an_unknown_option_is_refused() -> None:
    assert run_main("run", "--fly") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "calibrate-reference"),
        (["run", "--profile", "/nowhere/at all"], "no profile"),
        (["run", "--config", "/nowhere/x.toml"], "x.toml"),
        (["run", "--landmarks", "guess"], "guess"),
        (["run", "--profile", "/no/one", "--report", "/proc/none/r.json"], "Name another --report"),
        (["run", "--profile", "/no/one", "--report", "."], "it is a folder"),
        (["run", "--eyes", "guess"], "network, oracle"),
        (["run", "--marker", "aruco:999"], "0 to 49"),
        (["calibrate-reference", "--profile", "/tmp/x"], "--video"),
        (["calibrate-reference", "--profile", "/tmp/x", "--video", "/no.mp4"], "does not exist"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_1(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*arguments) == 1
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("arguments", "enabled", "port"),
    [
        ([], False, 8750),
        (["--preview"], True, 8750),
        (["--preview-port", "9000"], True, 9000),
        (["--preview-port", "0"], True, 0),
        (["--no-preview"], False, 8750),
        (["--no-preview", "--preview-port", "9000"], False, 9000),
    ],
)
def test_a_preview_port_asks_for_the_preview_and_no_preview_turns_it_off(
    arguments: list[str], enabled: bool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[SessionSettings] = []
    monkeypatch.setattr("edge.run._with_profile", lambda settings, name: settings)
    monkeypatch.setattr("edge.run._run", lambda settings, *others: ran.append(settings))
    assert run_main("run", *arguments) == 0
    (settings,) = ran
    assert (settings.edge.preview.enabled, settings.edge.preview.port) == (enabled, port)


def test_an_open_preview_port_becomes_one_that_can_be_told_beforehand() -> None:
    open_port = override(SessionSettings(), {"edge.preview.enabled": True, "edge.preview.port": 0})
    chosen = with_preview_port(open_port)
    port = chosen.edge.preview.port
    assert port > 0
    assert preview_url(chosen) == f"http://127.0.0.1:{port}/"
    assert with_preview_port(chosen) == chosen
    assert preview_url(SessionSettings()) == ""
    Preview(port).close()


def test_the_command_table_starts_without_heavy_imports() -> None:
    program = (
        "import sys, edge.__main__;"
        "print(sorted({'torch', 'mediapipe', 'cv2', 'av', 'onnxruntime'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_a_child_without_a_word_leaves_its_last_line() -> None:
    child = Child("test", "json.tool", ["/nowhere/at.all"])
    deadline = time.monotonic() + 20
    while child.exit_code is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert child.stop() > 0
    assert "nowhere" in child.last_lines[-1]


def test_samples_keep_the_newest_and_never_grow() -> None:
    samples = Samples(capacity=4)
    assert samples.summary() == {}
    for value in range(10):
        samples.add(float(value))
    assert sorted(samples.values()) == [6, 7, 8, 9]
    assert samples.summary()["max"] == 9
    assert samples.count == 10


def test_a_stage_that_fails_is_timed_too() -> None:
    times = StageTimes()
    with pytest.raises(ZeroDivisionError), times.measure("divide"):
        1 / 0  # noqa: B018
    assert "divide" in times.summary()


def test_what_a_training_tells_is_seen_once_and_follows_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Steps and validation scores were logged, and shown to nobody."""
    logger = logging.getLogger("training")
    before, level = list(logger.handlers), logger.level
    try:
        show_log("training")
        show_log("training")
        logging.getLogger("training.loop").info("step 3: %s", "25.00 dB")
        logging.getLogger("matplotlib.font_manager").info("noise")
        assert capsys.readouterr().err == "step 3: 25.00 dB\n"
    finally:
        logger.handlers, logger.level = before, level


def test_a_forbidden_place_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Profiles of another user ended in a traceback."""

    def forbidden() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/root/profiles")

    monkeypatch.setattr("edge.devices.devices", forbidden)
    assert run_main("devices") == 1
    told = capsys.readouterr().err
    assert told.startswith("/root/profiles may not be used: Permission denied.")
    assert "Traceback" not in told


def test_a_place_that_cannot_be_used_is_one_sentence_and_a_fault_of_ours_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", "out/x.json")

    def ours() -> None:
        raise OSError("socket closed twice")

    monkeypatch.setattr("edge.devices.devices", missing)
    assert run_main("devices") == 1
    assert capsys.readouterr().err.startswith("out/x.json cannot be used: Not a directory.")
    monkeypatch.setattr("edge.devices.devices", ours)
    with pytest.raises(OSError, match="closed twice"):
        main(["devices"])


def test_ctrl_c_while_a_command_loads_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow_command.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nsignal.pause()\n"
    )
    code = (
        "import signal, edge.__main__ as table\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "table.COMMANDS['slow'] = ('slow_command:slow', '')\n"
        "table.main(['slow'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
