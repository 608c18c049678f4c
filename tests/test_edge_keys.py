"""Keys of the terminal, with a small shell that starts the program in fore- or background."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, threading
from edge.keys import read_keys
keys, pressed = [], threading.Event()
def press(key):
    keys.append(key)
    if key == "x":
        pressed.set()
with read_keys(press):
    print("begun", flush=True)
    if sys.argv[1] == "foreground":
        pressed.wait(20)
print("ended", keys, flush=True)
"""
# Tells the program's end, or the signal that stopped it, as a shell does.
SHELL = """
import os, pty, signal, sys
place, typed = sys.argv[2:]
shell, terminal = pty.fork()
if shell == 0:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    program = os.fork()
    if program == 0:
        os.setpgid(0, 0)
        if place == "foreground":
            os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], place])
    _, status = os.waitpid(program, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        print("stopped by", signal.Signals(os.WSTOPSIG(status)).name, flush=True)
        os.kill(program, signal.SIGKILL)
    os._exit(0)
told = b""
while True:
    try:
        told += os.read(terminal, 1000)
    except OSError:  # its last user is gone
        break
    if b"begun" in told:
        os.write(terminal, typed.encode())
        typed = ""
print(told.decode())
"""


def told_lines(place: str, typed: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", SHELL, PROGRAM, place, typed],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout.strip().splitlines()


def test_a_key_is_heard_without_enter() -> None:
    assert told_lines("foreground", "ax") == ["begun", "ended ['a', 'x']"]


def test_ctrl_z_does_not_stop_the_program_that_watches_over_the_others() -> None:
    """It stopped the supervisor, and the processes that it had started went on sending."""
    assert told_lines("foreground", "\x1ax") == ["begun", "ended ['\\x1a', 'x']"]


def test_in_the_background_a_session_runs_without_keys() -> None:
    """The system stopped it at once: only the program in the foreground may set a terminal up."""
    assert told_lines("background", "") == ["begun", "ended []"]
