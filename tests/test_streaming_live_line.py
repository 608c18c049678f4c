"""The status line of `watch`, `record` and `relay`, written into a pipe."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

from streaming.live_line import LiveLine


def test_what_follows_the_status_begins_a_line_of_its_own_in_a_pipe() -> None:
    """`waiting for the first frameNo frame came from …` was one line."""
    pipe = io.StringIO()
    console = Console(file=pipe, force_terminal=False)
    with LiveLine(Text("waiting"), console=console, auto_refresh=False) as live:
        live.update(Text("25 fps"), refresh=True)
    console.print("No frame came.")
    assert pipe.getvalue().splitlines() == ["25 fps", "No frame came."]
