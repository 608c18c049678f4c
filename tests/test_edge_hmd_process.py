"""Which eye cameras the supervisor starts the eye cameras' program with."""

from __future__ import annotations

import time
from typing import Any

import pytest

import edge.hmd_process
from edge.hmd_process import HmdProcess
from edge.settings import SessionSettings, override
from streaming.errors import UserError


class Started:
    """Takes the place of the child process."""

    exit_code = None

    def __init__(self, name: str, module: str, arguments: list[str]) -> None:
        self.arguments = arguments

    def cpu_seconds(self) -> float:
        return 0.0


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    made: list[Started] = []

    def start(*arguments: Any) -> Started:
        made.append(Started(*arguments))
        return made[-1]

    monkeypatch.setattr(edge.hmd_process, "Child", start)
    return made


def settings(**changes: Any) -> SessionSettings:
    named = {"hmd_capture.left.source": "uvc:3", "hmd_capture.left.rotation_deg": 90.0}
    return override(SessionSettings(), {**named, **changes})


def test_it_is_told_the_cameras_that_are_named(children: list[Started]) -> None:
    HmdProcess(settings()).start()
    (child,) = children
    assert child.arguments[-4:] == [
        "--left=uvc:3",
        "--left-rotation=90.0",
        "--left-flip=none",
        "--left-region=",
    ]
    assert not any(argument.startswith("--right") for argument in child.arguments)


def test_a_simulated_headset_brings_its_own_eye_cameras(children: list[Started]) -> None:
    HmdProcess(settings(**{"edge.simulation.enabled": True})).start()
    assert not any(argument.startswith("--left") for argument in children[0].arguments)


def test_it_is_not_started_for_a_face_mask_behind_which_the_eyes_are_in_view(
    children: list[Started],
) -> None:
    process = HmdProcess(settings(**{"edge.cover": "face-mask"}))
    process.start()
    assert process.check() == ""
    assert (children, process.pid) == ([], None)
    HmdProcess(settings(**{"edge.cover": "auto"})).start()
    assert len(children) == 1


def test_it_is_not_started_here_when_it_runs_on_another_machine(children: list[Started]) -> None:
    process = HmdProcess(settings(**{"hmd_capture.clock": "tcp://10.0.0.9:50024"}))
    process.start()
    assert process.check() == ""
    assert process.cpu_seconds() == 0.0
    process.stop()
    assert children == []


def ended(last_line: str, monkeypatch: pytest.MonkeyPatch) -> HmdProcess:
    """One that has just ended with exit code 1."""

    class Ended(Started):
        exit_code = 1
        last_lines = ("Traceback (most recent call last):", last_line)

        def stop(self) -> int:
            return self.exit_code

    monkeypatch.setattr(edge.hmd_process, "Child", Ended)
    process = HmdProcess(settings())
    process.start()
    return process


def test_a_refusal_to_start_ends_the_session_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="program: Port 50022 is taken"):
        ended("Error: Port 50022 is taken.", monkeypatch).check()


def test_the_time_of_a_life_that_ended_is_counted_once(
    children: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Started, "cpu_seconds", lambda child: 3.0 if child is children[0] else 0.0)
    monkeypatch.setattr(Started, "last_lines", ("a word",), raising=False)
    monkeypatch.setattr(Started, "stop", lambda child: 1, raising=False)
    monkeypatch.setattr(edge.hmd_process, "FIRST_PAUSE_S", 0.0)
    process = HmdProcess(settings())
    process.start()
    process.check()
    for life in range(2):
        children[life].exit_code = 1  # at the second one's first check
        process.check()
        process.check()
    assert process.cpu_seconds() == 3.0


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_refusal_is_known_where_the_environment_asks_for_colours(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for a crash: the program was started again and again."""
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("TERM", "xterm")
    process = HmdProcess(settings(**{"hmd_capture.publisher": "nonsense"}))
    process.start()
    try:
        with pytest.raises(UserError, match="program: 'nonsense' is not an address"):
            check_until_it_ends(process)
    finally:
        process.stop()


def check_until_it_ends(process: HmdProcess) -> None:
    deadline_s = time.monotonic() + 30
    while not process.check():
        assert time.monotonic() < deadline_s, "it did not end"
        time.sleep(0.02)


def test_a_crash_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python leaves with the same exit code after an error that nobody foresaw."""
    process = ended("ValueError: operands could not be broadcast together", monkeypatch)
    assert "starting it again" in process.check()
    monkeypatch.setattr(edge.hmd_process, "Child", Started)
    monkeypatch.setattr(process, "_due_s", 0.0)
    process.check()
    assert (process.restarts, process.check()) == (1, "")
