"""The training loop: when it ends, and by whose clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is only in the train and dev extras")

from training.loop import Limits, Loop, Rhythm


@dataclass(frozen=True)
class Found:
    """A validation."""

    total: float = 0.0


@dataclass
class Second:
    """A process that is not the first; the first one's clock runs 15 s a look."""

    finished_steps: int = 0
    clock_s: float = -15.0
    done: list[Any] = field(default_factory=list)

    def advance(self, share: float) -> Mapping[str, Any]:
        self.finished_steps += 1
        self.done.append(share)
        return {}

    def numbers(self, losses: Mapping[str, Any]) -> dict[str, float]:
        return {}

    def validate(self) -> Found:
        self.done.append("validated")
        return Found()

    def save(self, more: dict[str, Any]) -> None:
        self.done.append("saved")

    def save_best(self, score: dict[str, float], trained_s: float) -> None:
        raise AssertionError("only the first process writes")

    def agree(self, value: float) -> float:
        if isinstance(value, bool):
            return value
        self.clock_s += 15
        return self.clock_s


def test_all_processes_follow_the_clock_of_the_first() -> None:
    """Each followed its own: their learning rates, and with them their weights, drifted apart."""
    training = Second()
    rhythm = Rhythm(validate_every_steps=1000, save_every_minutes=60, look_every_steps=2)
    assert Loop(training, None, Limits(None, minutes=1), rhythm).run()
    shares = [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert training.done == ["validated", "saved", *shares, "validated", "saved"]


def test_steps_end_a_run_and_a_run_that_is_over_stays_so() -> None:
    training, rhythm = Second(), Rhythm(2, 60)
    assert Loop(training, None, Limits(3), rhythm).run()
    both = ["validated", "saved"]
    expected = [*both, 0, pytest.approx(1 / 3), *both, pytest.approx(2 / 3), *both]
    assert training.done == expected
    assert Loop(training, None, Limits(3), rhythm).run()
    assert training.finished_steps == 3


def test_a_call_may_stop_before_the_run_is_over() -> None:
    training = Second()
    limits = Limits(1000, stop_after_minutes=1e-9)
    assert not Loop(training, None, limits, Rhythm(2, 60)).run()
    assert training.done == ["validated", "saved"]
