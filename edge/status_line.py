"""A line on the terminal that says how a session is going, and below it what to do about it."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from edge.eyes.routine import CLOSE_EYES
from edge.supervisor import SessionStatus

BEFOREHAND = {  # phases before the start, in words
    "meshes": "finding the face meshes of the clip (once)",
    "engine": "building the engine for this GPU (once)",
}
IN_WORDS = {  # statuses that do not speak for themselves
    "STALE_EYES": "no eye cameras",
    "ONE_EYE": "one eye camera only",
    "PLAUSIBLE": "mouth not live",
    "NO_HEADSET": "nothing worn",
    "NO_FACE": "no face in view",
    "COVER_MISMATCH": "not restored",
}


class StatusLine:
    """Shows a `SessionStatus` whenever it is called; use as a context manager."""

    def __init__(self, console: Console) -> None:
        """Write to this console."""
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None)
        self._are_eyes_closed = False  # as the wearer was asked to

    def __enter__(self) -> StatusLine:
        """Start showing."""
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the line away."""
        self._live.stop()

    def __call__(self, status: SessionStatus) -> None:
        """Show this; a bell tells a wearer whose eyes are closed to open them."""
        were_closed, self._are_eyes_closed = self._are_eyes_closed, CLOSE_EYES in status.detail
        if were_closed and not self._are_eyes_closed:
            self._console.bell()
        if status.phase in BEFOREHAND:
            self._progress.update(
                self._task,
                description=BEFOREHAND[status.phase],
                completed=status.done,
                total=status.total or None,
            )
            self._live.update(self._progress.get_renderable())
        else:
            line = Text(describe(status), overflow="ellipsis", no_wrap=True)
            # Below it and never cut: it says what to do.
            self._live.update(Group(line, Text(status.detail)) if status.detail else line)


def describe(status: SessionStatus) -> str:
    """The status in words, without its detail."""
    if status.phase != "running":
        return {"starting": "starting …", "stopping": "stopping …"}.get(status.phase, "")
    age = "no client age yet" if status.age_ms is None else f"age {status.age_ms:.0f} ms"
    words = [
        "PAUSED, nothing is sent (space goes on)" if status.is_paused else "space pauses, q stops",
        f"{status.fps:.1f} fps",
        age,
        f"{status.drops} drops",
        *(IN_WORDS.get(word, word) for word in status.status if word != "PAUSED"),
    ]
    return " · ".join(words)
