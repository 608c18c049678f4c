"""Programs that a session starts: heard whatever they say, and gone when their owner is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import edge.child
import edge.supervisor
from edge.child import Child, Event
from edge.settings import SessionSettings, override
from edge.supervisor import Session, SessionStatus
from streaming.errors import UserError

ROOT = Path(__file__).parents[1]
# Deaf to SIGTERM, with a program of its own beside it.
STUCK = """
    import json, signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    helper = subprocess.Popen(["sleep", "60"])
    print(json.dumps({"event": "ready", "control": 1, "publisher": 1, "helper": helper.pid}))
    sys.stdout.flush()
    time.sleep(60)
"""

Write = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module that a child can run; returns its name."""

    def write(text: str) -> str:
        (tmp_path / "played.py").write_text(textwrap.dedent(text))
        return "played"

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def first_event(child: Child) -> Event:
    event = child.next_event(20)
    assert event is not None, child.last_lines
    return event


def test_bytes_that_are_no_text_do_not_end_a_child(module: Write) -> None:
    """They ended the thread that read them; the pipe was closed, and the child's next word failed.

    A camera's name from its driver is enough.
    """
    name = module(
        """
        import os, time
        for number in (1, 2):
            os.write(number, b"camera \\xb0\\xff\\n")
        time.sleep(0.2)
        os.write(2, b"still here\\n")
        os.write(1, b'{"event": "done"}\\n')
        """
    )
    child = Child("test", name, [])
    assert first_event(child) == {"event": "done"}
    child.stop()
    assert child.last_lines[-1] == "still here"


def test_a_child_that_is_killed_takes_its_own_programs_along(
    module: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.child, "STOP_S", 0.2)
    child = Child("test", module(STUCK), [])
    helper = first_event(child)["helper"]
    assert is_running(helper)
    child.stop()
    assert is_gone_soon(helper)


def test_a_child_that_crashes_leaves_no_program_behind(module: Write) -> None:
    crashing = STUCK.replace("time.sleep(60)", "import os; os._exit(139)")
    child = Child("test", module(crashing), [])
    helper = first_event(child)["helper"]
    while child.exit_code is None:
        time.sleep(0.01)
    assert child.stop() == 139
    assert is_gone_soon(helper)


def test_when_the_parent_dies_a_stuck_child_goes_with_its_programs(module: Write) -> None:
    run = "import sys, edge.leash as leash; leash.GRACE_S = 0.2; leash.main()"
    child = subprocess.Popen(
        [sys.executable, "-c", run, module(STUCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    helper = int(child.stdout.readline().split(b'"helper": ')[1].strip(b"}\n"))
    child.stdin.close()
    child.wait(10)
    assert is_gone_soon(helper)
    child.stdout.close()


def test_a_pipeline_that_is_stuck_ends_with_the_program(tmp_path: Path) -> None:
    """Nothing comes out of it, so it never notices that nobody reads any more."""
    program, mark = tmp_path / "gst-launch-1.0", tmp_path / "pid"
    # It says that it runs when whoever started it has long heard so.
    program.write_text(f"#!/bin/sh\nsleep 1\necho $$ > {mark}\nexec sleep 60\n")
    program.chmod(0o700)
    script = f"""
        import pathlib, threading, time
        from edge.gst_camera import GstPipe
        threading.Thread(target=GstPipe, args=("camera",), daemon=True).start()
        while not (mark := pathlib.Path({str(mark)!r})).exists() or not mark.read_text():
            time.sleep(0.01)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        timeout=60,
        check=True,
    )
    assert is_gone_soon(int(mark.read_text()))


def test_a_stop_ends_a_session_whose_pipeline_is_stuck(
    module: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C only set a flag, and the supervisor waited for the last word for ever.

    Meanwhile the status line went on telling what it had told last.
    """
    stuck = module(STUCK)
    started: list[Child] = []

    def start(name: str, wanted: str, arguments: list[str], passphrase: str | None) -> Child:
        started.append(Child(name, stuck, []))
        return started[-1]

    def watch(status: SessionStatus) -> None:
        told.append(status)
        if status.detail == edge.supervisor.SILENT:
            session.stop()

    monkeypatch.setattr(edge.supervisor, "Child", start)
    monkeypatch.setattr(edge.supervisor, "SILENT_S", 0.2)
    monkeypatch.setattr(edge.supervisor, "END_S", 0.2)
    monkeypatch.setattr(edge.child, "STOP_S", 0.2)
    settings = override(
        SessionSettings(),
        {"models.engine": "onnx", "hmd_capture.clock": "tcp://127.0.0.1:1"},  # nothing else starts
    )
    told: list[SessionStatus] = []
    session = Session(settings, watch)
    with pytest.raises(UserError, match="does not stop"):
        session.run()
    assert not is_running(started[0].pid)
    phases = [status.phase for status in told]
    assert phases[:3] == ["starting", "running", "stopping"]
    # "q stops it" stood below "stopping", which was told only when all was over.
    assert {(status.phase, status.detail) for status in told[2:]} == {("stopping", "")}
