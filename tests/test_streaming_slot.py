from __future__ import annotations

import threading
import time

import pytest

from streaming.slot import Latest


def test_newest_wins_and_overwritten_values_are_counted() -> None:
    slot: Latest[int] = Latest()
    for value in (1, 2, 3):
        slot.put(value)
    assert slot.take(0) == 3
    assert slot.drops == 2


def test_values_that_were_taken_are_no_drops() -> None:
    slot: Latest[int] = Latest()
    for value in (1, 2, 3):
        slot.put(value)
        assert slot.take(0) == value
    assert slot.drops == 0


def test_falsy_values_are_values() -> None:
    slot: Latest[int] = Latest()
    slot.put(0)
    slot.put(0)
    assert slot.take(0) == 0
    assert slot.drops == 1


def test_none_cannot_be_put() -> None:
    with pytest.raises(ValueError, match="None"):
        Latest[None]().put(None)


def test_empty_slot_gives_none_after_the_timeout() -> None:
    started = time.monotonic()
    assert Latest[int]().take(0.05) is None
    assert time.monotonic() - started >= 0.05


def test_waiting_taker_gets_a_value_put_by_another_thread() -> None:
    slot: Latest[str] = Latest()
    threading.Timer(0.05, slot.put, ["late"]).start()
    assert slot.take(10) == "late"


def test_close_wakes_a_taker_that_waits_without_end() -> None:
    slot: Latest[int] = Latest()
    threading.Timer(0.05, slot.close).start()
    assert slot.take() is None
    assert slot.closed


def test_last_value_can_be_taken_after_close_and_later_ones_are_ignored() -> None:
    slot: Latest[int] = Latest()
    slot.put(1)
    slot.close()
    slot.put(2)
    assert slot.take() == 1
    assert slot.take() is None


def test_two_threads_lose_nothing_but_what_is_counted() -> None:
    slot: Latest[int] = Latest()
    taken: list[int] = []

    def take_all() -> None:
        while (value := slot.take(10)) is not None:
            taken.append(value)

    taker = threading.Thread(target=take_all)
    taker.start()
    for value in range(5000):
        slot.put(value)
    slot.close()
    taker.join(10)
    assert taken == sorted(set(taken))
    assert taken[-1] == 4999
    assert len(taken) + slot.drops == 5000
