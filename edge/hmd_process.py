"""`hmd_capture` as a child: started again when it dies, while the pipeline goes on without eyes."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from edge.child import Child
from edge.settings import SessionSettings
from hmd_capture.sources.eye_view import EyeCameraSettings
from streaming.errors import UserError

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
REFUSED, REFUSAL = 1, "Error: "  # a user's mistake: exit code, and how its sentence begins
STEADY_S = 30.0  # having run for so long, the next pause is short again


class HmdProcess:
    """Keeps one `hmd_capture` running."""

    def __init__(self, settings: SessionSettings) -> None:
        """Prepare; `start` starts it."""
        hmd = settings.hmd_capture
        self._arguments = ["--publisher", hmd.publisher, "--feed", hmd.feed, "--eyes", hmd.eyes]
        for side, camera in (("right", hmd.right), ("left", hmd.left)):
            # A simulated headset brings its own eye cameras.
            if camera.source and not settings.edge.simulation.enabled:
                self._arguments += camera_arguments(side, camera)
        if settings.edge.spans:
            self._arguments.append(f"--spans={Path(settings.edge.spans) / 'hmd_capture.npz'}")
        # On another machine it runs already; behind a face mask the eyes are in view.
        self._is_started_here = not (hmd.key or hmd.clock or settings.edge.cover == "face-mask")
        self._child: Child | None = None
        self._started_s = self._due_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._cpu_s = 0.0  # of the present child, as of the last check
        self._cpu_before_s = 0.0  # of children that are gone
        self.restarts = 0

    def start(self) -> None:
        """Start it now, unless it runs on another machine or nobody asks it."""
        if not self._is_started_here:
            return
        self._child = Child("hmd_capture", "hmd_capture", self._arguments)
        self._started_s = time.monotonic()

    def check(self) -> str:
        """Start it again when it died and the pause is over; returns what is worth telling.

        Raises:
            UserError: it refused to start the first time (a port in use, say), in its own words.
        """
        if not self._is_started_here:
            return ""
        child = self._child
        now_s = time.monotonic()
        if child is not None and child.exit_code is None:
            self._cpu_s = child.cpu_seconds()
            return ""
        if child is not None:
            code = child.stop()
            last = next(reversed(child.last_lines), "no word")
            # A crash has this exit code, too; then it is started again.
            if code == REFUSED and last.startswith(REFUSAL) and not self.restarts:
                raise UserError(f"The eye cameras' program: {last.removeprefix(REFUSAL)}")
            log.warning("hmd_capture ended with code %s (%s)", code, last)
            if now_s - self._started_s > STEADY_S:
                self._pause_s = FIRST_PAUSE_S
            self._cpu_before_s, self._cpu_s = self._cpu_before_s + self._cpu_s, 0.0
            self._child, self._due_s = None, now_s + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        elif now_s >= self._due_s:
            self.restarts += 1
            self.start()
        return "the eye cameras' program ended: starting it again"

    @property
    def pid(self) -> int | None:
        """Process id; None while it does not run here."""
        return None if self._child is None else self._child.pid

    def cpu_seconds(self) -> float:
        """CPU time it has used so far, all its lives together."""
        return self._cpu_before_s + (self._child.cpu_seconds() if self._child else 0.0)

    def stop(self) -> None:
        """Stop it for good."""
        if self._child is not None:
            self._child.stop()
            self._child = None


def camera_arguments(side: str, camera: EyeCameraSettings) -> list[str]:
    """What `python -m hmd_capture` is told of one eye's camera."""
    return [
        f"--{side}={camera.source}",
        f"--{side}-rotation={camera.rotation_deg}",
        f"--{side}-flip={camera.flip}",
        f"--{side}-region={camera.region}",
    ]
