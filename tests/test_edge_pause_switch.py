"""The pause key does what the user last saw it do, whatever is heard in between."""

from __future__ import annotations

import pytest

from edge.pause_switch import PauseSwitch
from streaming.clock import monotonic_ns
from streaming.control import PAUSE, RESUME


def test_a_status_that_comes_before_the_answer_turns_nothing_round() -> None:
    """The session told of the pause first: the key's thread then took it for its end."""

    def notify(subject: str) -> None:
        sent.append(subject)
        switch.hear(subject == PAUSE, monotonic_ns())

    sent: list[str] = []
    switch = PauseSwitch(notify)
    for _ in range(3):
        switch.toggle()
    assert sent == [PAUSE, RESUME, PAUSE]
    assert switch.is_paused


def test_a_status_from_before_the_key_is_not_believed_after_it() -> None:
    """Read late it said "paused", and the next press resumed where a pause was wanted."""
    sent: list[str] = []
    switch = PauseSwitch(sent.append)
    switch.toggle()
    told_ns = monotonic_ns()
    switch.toggle()
    assert switch.hear(True, told_ns) is False
    switch.toggle()
    assert sent == [PAUSE, RESUME, PAUSE]


def test_what_the_page_or_a_client_did_meanwhile_counts() -> None:
    sent: list[str] = []
    switch = PauseSwitch(sent.append)
    assert switch.hear(True, monotonic_ns()) is True
    switch.toggle()
    assert sent == [RESUME]


def test_a_word_that_does_not_arrive_changes_nothing() -> None:
    def notify(subject: str) -> None:
        raise TimeoutError(subject)

    switch = PauseSwitch(notify)
    with pytest.raises(TimeoutError):
        switch.toggle()
    assert not switch.is_paused
