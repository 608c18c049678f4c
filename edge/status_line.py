"""One line on the terminal that says how a session is going."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from edge.supervisor import SessionStatus

BEFOREHAND = {  # phases before the start, in words
    "meshes": "finding the face meshes of the clip (once)",
    "engine": "building the engine for this GPU (once)",
}
MISSING_EYES = {"STALE_EYES": "no eye cameras", "ONE_EYE": "one eye camera only"}


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

    def __enter__(self) -> StatusLine:
        """Start showing."""
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Take the line away."""
        self._live.stop()

    def __call__(self, status: SessionStatus) -> None:
        """Show this."""
        if status.phase in BEFOREHAND:
            self._progress.update(
                self._task,
                description=BEFOREHAND[status.phase],
                completed=status.done,
                total=status.total or None,
            )
            self._live.update(self._progress.get_renderable())
        else:
            self._live.update(Text(describe(status), overflow="ellipsis", no_wrap=True))


def describe(status: SessionStatus) -> str:
    """The status in words."""
    if status.phase != "running":
        return {"starting": "starting …", "stopping": "stopping …"}.get(status.phase, "")
    age = "no client age yet" if status.age_ms is None else f"age {status.age_ms:.0f} ms"
    words = [
        "PAUSED, nothing is sent (space goes on)" if status.is_paused else "space pauses, q stops",
        f"{status.fps:.1f} fps",
        age,
        f"{status.drops} drops",
        *(MISSING_EYES.get(word, word) for word in status.status if word != "PAUSED"),
        status.detail,
    ]
    return " · ".join(word for word in words if word)
