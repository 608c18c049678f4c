"""What the terminal says of a session, also where it is narrow."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edge.covers.cover_trackers import BOTH, MISMATCH, OR_OTHER
from edge.eyes.routine import PHASES
from edge.status_line import StatusLine, describe
from edge.supervisor import SessionStatus

NAMED = {"seen": "face mask", "wanted": "headset", "option": "face-mask"}


@pytest.mark.parametrize("text", [MISMATCH, BOTH.format(off=OR_OTHER)])
def test_what_to_do_is_never_cut_off(text: str) -> None:
    detail = text.format(**NAMED)
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True)
    with StatusLine(console) as line:
        line(SessionStatus("running", 9, status=("COVER_MISMATCH",), detail=detail))
    assert "--cover face-mask" in " ".join(written.getvalue().split())


def test_statuses_that_do_not_speak_for_themselves_are_put_into_words() -> None:
    told = describe(SessionStatus("running", 9, fps=25.0, status=("WARMING", "PLAUSIBLE")))
    assert told.endswith("WARMING · mouth not live")
    assert "nothing worn" in describe(SessionStatus("running", 9, status=("NO_HEADSET",)))


def test_a_bell_tells_closed_eyes_to_open() -> None:
    """The routine in a running session: its wearer was told to wait for a signal."""
    written = io.StringIO()
    rung: list[str] = []
    with StatusLine(Console(file=written, width=80, force_terminal=True)) as line:
        for phase in PHASES:
            before = written.getvalue().count("\a")
            for _ in range(3):
                line(SessionStatus("running", 9, detail=f"calibrating: {phase.instruction}"))
            rung += [phase.key] * (written.getvalue().count("\a") - before)
        line(SessionStatus("running", 9, detail="The eyes are calibrated."))
    assert rung == ["blink"]
    assert written.getvalue().count("\a") == 1
