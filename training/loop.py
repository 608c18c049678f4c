"""The loop of a training: steps, progress, curve, checkpoints, validation, and when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass
from typing import Any, ClassVar, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from training.run.curves import Curves
from training.run.folder import RunFolder

log = logging.getLogger(__name__)

MINUTE_S = 60.0
LOG_EVERY_S = 30.0  # one line for logs, where no progress bar shows


class Score(Protocol):
    """What a validation finds; a dataclass of numbers."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def total(self) -> float:
        """What the best is chosen by; higher is better."""
        ...


class Training(Protocol):
    """What the loop drives."""

    @property
    def finished_steps(self) -> int:
        """Of the optimiser."""
        ...

    def advance(self, share: float) -> Mapping[str, Any]:
        """Do one step; `share` of the whole run is over. Returns losses, perhaps not yet known."""
        ...

    def numbers(self, losses: Mapping[str, Any]) -> dict[str, float]:
        """Losses as numbers; raises what ends the training when one is none."""
        ...

    def validate(self) -> Score:
        """Score the network that would be shipped."""
        ...

    def save(self, more: dict[str, Any]) -> None:
        """Keep a checkpoint with `more` in it."""
        ...

    def save_best(self, score: dict[str, float], trained_s: float) -> None:
        """Keep the network that would be shipped."""
        ...

    def agree(self, value: float) -> float:
        """The first process's value, where several train together."""
        ...


@dataclass(frozen=True)
class Limits:
    """When a run is over, and when this call is."""

    steps: int | None  # None: only time counts
    minutes: float = 0.0  # of training in all calls together; 0 = no limit
    stop_after_minutes: float = 0.0  # of this call; 0 = no limit

    def share(self, steps: int, trained_s: float) -> float:
        """How much of the run is over, 0..1 and beyond."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_time = trained_s / (self.minutes * MINUTE_S) if self.minutes else 0.0
        return max(by_steps, by_time)


@dataclass(frozen=True)
class Rhythm:
    """How often the loop looks up."""

    validate_every_steps: int
    save_every_minutes: float
    read_every_steps: int = 1  # losses are read from the device; waits for it
    look_every_steps: int = 1  # at the clock; several processes agree each time


class Loop:
    """Drives a training until it, or this call, is over."""

    def __init__(
        self,
        training: Training,
        folder: RunFolder | None,
        limits: Limits,
        rhythm: Rhythm,
        trained_s: float = 0.0,
        best: float = -float("inf"),
    ) -> None:
        """Go on after `trained_s` seconds; without a folder (not the first process) write none."""
        self._training, self._folder, self._limits = training, folder, limits
        self._rhythm, self._best = rhythm, best
        self._before_s, self._started = trained_s, time.monotonic()
        self._agreed_s = trained_s  # by the first process's clock
        self._first_step = training.finished_steps
        self._saved = self._logged = self._started
        self._pending: list[tuple[int, Mapping[str, Any]]] = []
        self._curves = Curves(folder.path) if folder else None

    @property
    def trained_s(self) -> float:
        """Seconds of training, earlier calls included."""
        return self._before_s + time.monotonic() - self._started

    def run(self) -> bool:
        """Train; returns whether the run is over (else only this call is)."""
        training = self._training
        with _progress(self._folder is None) as progress:
            bar = progress.add_task("training", total=self._limits.steps)
            while True:
                share = self._share()
                over, pause = share >= 1, self._pauses()
                if over or pause or self._is_due(self._rhythm.validate_every_steps):
                    self._read()
                    self._validate()
                    self._save()
                if over or pause:
                    return over
                self._pending.append((training.finished_steps + 1, training.advance(share)))
                progress.update(bar, completed=training.finished_steps, description=self._speed())
                if self._is_due(self._rhythm.read_every_steps):
                    self._read()
                self._save_sometimes()

    def _share(self) -> float:
        """How much of the run is over: the same in all processes, as the learning rate follows."""
        if self._limits.minutes and self._is_due(self._rhythm.look_every_steps):
            self._agreed_s = self._training.agree(self.trained_s)
        return self._limits.share(self._training.finished_steps, self._agreed_s)

    def _pauses(self) -> bool:
        call_s = self._limits.stop_after_minutes * MINUTE_S
        if not call_s or not self._is_due(self._rhythm.look_every_steps):
            return False
        return bool(self._training.agree(time.monotonic() - self._started >= call_s))

    def _is_due(self, every: int) -> bool:
        return self._training.finished_steps % every == 0

    def _read(self) -> None:
        """Wait for the losses of the last steps and write them down."""
        pending, self._pending = self._pending, []
        for step, losses in pending:
            row = {"step": step, **self._training.numbers(losses)}
            if self._folder is not None and self._curves is not None:
                self._folder.record(row)
                self._curves.add(row)
        if pending and time.monotonic() - self._logged >= LOG_EVERY_S:
            self._logged = time.monotonic()
            log.info("step %d, %s: %s", pending[-1][0], self._speed(), row)

    def _validate(self) -> None:
        score = self._training.validate()
        if self._folder is None or self._curves is None:
            return
        log.info("step %d: %s", self._training.finished_steps, score)
        values: dict[str, float] = asdict(score)
        row = {"step": self._training.finished_steps, "validation": values}
        self._folder.record(row)
        self._curves.add(row)
        if score.total > self._best:
            self._best = score.total
            self._training.save_best(values, self.trained_s)

    def _save_sometimes(self) -> None:
        if not self._is_due(self._rhythm.look_every_steps):
            return
        due = time.monotonic() - self._saved >= self._rhythm.save_every_minutes * MINUTE_S
        if self._training.agree(due):
            self._read()  # a checkpoint must not hold weights that a broken loss has reached
            self._save()

    def _save(self) -> None:
        self._training.save({"trained_s": self.trained_s})
        self._saved = time.monotonic()

    def _speed(self) -> str:
        steps = self._training.finished_steps - self._first_step
        seconds = max(time.monotonic() - self._started, 1e-3)
        return f"{steps / seconds:.2f} steps/s"


def _progress(hidden: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, transient=True, disable=hidden)
