"""A child process that speaks JSON lines: started on a leash, stopped for certain."""

from __future__ import annotations

import collections
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from edge.profile.passphrase import secret_pipe, without_secret

log = logging.getLogger(__name__)

STOP_S = 8.0  # after SIGTERM, before SIGKILL
KEPT_LINES = 20  # of what it wrote to standard error, for telling why it died
# They would colour what children say into a pipe, which is read by its first word and told.
COLOURING = ("FORCE_COLOR", "TTY_COMPATIBLE")

Event = dict[str, Any]


class Child:
    """One running program; `events` are the JSON lines of its standard output.

    It runs in a process group of its own: Ctrl-C reaches the supervisor alone, which stops its
    children in order.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], passphrase: str | None = None
    ) -> None:
        """Start `python -m module arguments…` on a leash.

        `passphrase`, of the profile, goes through a pipe: no argument or file ever holds it.
        """
        self.name = name
        self.last_lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._events: queue.Queue[Event] = queue.Queue()
        with secret_pipe(passphrase) as (descriptors, variables):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge.leash", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",  # a driver's bytes must not end a reader, and with it the child
                start_new_session=True,
                env=_environment() | variables,
                pass_fds=descriptors,
            )
        self._readers = [
            threading.Thread(target=read, args=(stream,), name=f"{name} output", daemon=True)
            for read, stream in (
                (self._read_events, self._process.stdout),
                (self._read_log, self._process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def next_event(self, timeout_s: float = 0.0) -> Event | None:
        """The next event, waiting for at most so long."""
        try:
            return self._events.get(timeout=timeout_s) if timeout_s else self._events.get_nowait()
        except queue.Empty:
            return None

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask, wait, kill if need be; returns the exit code when it is gone."""
        self.ask_to_stop()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop within %.0f s; killing it", self.name, STOP_S)
            self._process.kill()
            self._process.wait()
        # What it started and left behind, having been killed or crashed, nobody else would end.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for reader in self._readers:
            reader.join(timeout=1.0)
        if self._process.stdin is not None:
            self._process.stdin.close()
        return int(self._process.returncode)

    def cpu_seconds(self) -> float:
        """CPU time it has used so far (user and system); 0 where /proc is missing."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return 0.0
        fields = text.rpartition(")")[2].split()  # the name before may hold blanks
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read_events(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if isinstance(event, dict) and "event" in event:
                    self._events.put(event)
                else:
                    self._note(line)

    def _read_log(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._note(line)

    def _note(self, line: str) -> None:
        self.last_lines.append(line.rstrip())
        log.info("%s: %s", self.name, line.rstrip())


def _environment() -> dict[str, str]:
    # Children find the same packages as we do, also when we run from a checkout.
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name not in COLOURING}
    return {
        **without_secret(kept),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        # The matrices are small: a second thread of the linear algebra only spins.
        "OPENBLAS_NUM_THREADS": "1",
    }
