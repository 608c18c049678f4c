"""A status line that is rewritten in place, and ends as a line where there is no terminal."""

from __future__ import annotations

from rich.live import Live


class LiveLine(Live):
    """`rich.live.Live` whose last state is a whole line in pipes and files, too."""

    def stop(self) -> None:
        """End the line: rich does so on terminals only, and what follows would stick to it."""
        was_started = self.is_started
        super().stop()
        if was_started and not self.console.is_terminal:
            self.console.line()
