"""The loop of a training that lasts so many minutes: progress, curve, validations, checkpoints.

The schedule follows the time trained, in which validating does not count: a busy machine ends in
fewer steps, not halfway.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import Progress

from training.loop import MINUTE_S, Score
from training.run import checkpoint
from training.run.folder import BEST, SETTINGS, RunFolder
from training.small_networks.batches import EndlessBatches, drawn_apart
from training.small_networks.trainer import AveragedTrainer

log = logging.getLogger(__name__)

BatchT = TypeVar("BatchT")
Step = Callable[[float], Mapping[str, float]]  # of the share that is over; gives losses


@dataclass(frozen=True)
class Verdict:
    """What a validation finds."""

    total: float  # what the best is chosen by; higher is better
    told: Mapping[str, Any]  # for curve and checkpoint
    words: str  # for the log

    @classmethod
    def of(cls, score: Score) -> Verdict:
        """Of a score, which is a dataclass of numbers."""
        return cls(score.total, {"validation": asdict(score)}, str(score))


@dataclass(frozen=True)
class Rhythm:
    """How long, and how often the loop looks up."""

    minutes: float  # the whole run, of training
    record_every: int = 20  # steps
    validate_every: int | None = None  # steps
    validate_every_s: float = float("inf")  # since the last validation


class TimedTraining:
    """Trains in a run folder; resumes what is unfinished there."""

    def __init__(
        self,
        trainer: AveragedTrainer[Any],
        folder: RunFolder,
        validate: Callable[[], Verdict],
    ) -> None:
        """`validate` scores the trainer's average."""
        self._trainer, self._folder, self._verdict = trainer, folder, validate
        self._best = -float("inf")

    def resume(self) -> bool:
        """Go on where the folder's run stopped; False: there is none, it is a new one.

        Raises:
            CheckpointError: a checkpoint cannot be read, or is of another network.
        """
        kept, best = self._folder.load(), self._folder.best()
        if best is not None:
            self._best = float(best.get("total", self._best))
        if kept is None:
            self._folder.forget_after(0)  # of a call that ended before its first checkpoint
            return False
        self._trainer.load_state_dict(kept)
        self._folder.forget_after(self._trainer.finished_steps, is_validated=True)
        if self._trainer.finished_share >= 1.0:
            log.warning(
                "the run %s is finished, and longer ones begin anew: name another --run and "
                "--start-from %s",
                self._folder.path,
                self._folder.path / BEST,
            )
        else:
            log.info("resuming %s at step %d", self._folder.path, self._trainer.finished_steps)
        return True

    def begin(
        self,
        told: Mapping[str, Any],
        start_from: Path | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Resume, or begin a new run: write down its settings and take a checkpoint's weights.

        `told` lies in the run's folder beside the settings; a new run does `first` first.

        Raises:
            CheckpointError: a checkpoint cannot be read, or is of another network.
        """
        if self.resume():
            return
        self._folder.write(SETTINGS, {**self._trainer.settings_told(), **told})
        if first is not None:
            first()
        if start_from is not None:
            self._trainer.start_from(checkpoint.load(start_from))

    def run_on(
        self,
        step: Callable[[BatchT, float], Mapping[str, float]],
        drawn: Callable[[int], Iterator[BatchT]],
        seed: int,
        workers: int,
        rhythm: Rhythm,
    ) -> None:
        """Step on the batches that `drawn` gives for a seed, in so many worker processes.

        A run that goes on draws others than it began with. Raises as `run`.
        """
        endless = EndlessBatches(drawn, seed + self._trainer.finished_steps)
        batches = drawn_apart(endless, workers)
        self.run(lambda share: step(next(batches), share), rhythm)

    def run(self, step: Step, rhythm: Rhythm) -> None:
        """Step until the time is over.

        Raises:
            TrainingDiverged: a loss is not finite; the last checkpoint is kept.
            CheckpointError: a checkpoint cannot be saved; the last one is kept.
        """
        validated = time.monotonic()

        def look_up(share: float, losses: Mapping[str, float]) -> None:
            nonlocal validated
            self._trainer.finished_share = share
            steps = self._trainer.finished_steps
            if steps % rhythm.record_every == 0:
                self._folder.record({"step": steps, "share": round(share, 4), **losses})
            by_steps = bool(rhythm.validate_every) and steps % (rhythm.validate_every or 1) == 0
            by_time = time.monotonic() - validated >= rhythm.validate_every_s
            if by_steps or by_time or share >= 1.0:
                self.validate()
                validated = time.monotonic()

        steps_for(rhythm.minutes, self._trainer.finished_share, step, look_up)

    def validate(self) -> None:
        """Score, and keep a checkpoint; the best one so far twice."""
        found, trainer = self._verdict(), self._trainer
        log.info("step %d: %s", trainer.finished_steps, found.words)
        told = {"total": found.total, **found.told}
        self._folder.record({"step": trainer.finished_steps, **told})
        # The best first: a run that goes on from the checkpoint does not validate its step again.
        if found.total > self._best:
            self._best = found.total
            self._folder.save_best({**trainer.shippable(), **told})
        self._folder.save(trainer.state_dict())


def steps_for(
    minutes: float, share: float, step: Step, then: Callable[[float, Mapping[str, float]], None]
) -> None:
    """Take steps from `share` of the time to its end; what `then` takes is not counted.

    After each step `then` hears the share that is over and what the step gave.
    """
    with Progress(transient=True) as progress:
        bar = progress.add_task("training", total=1.0)
        while share < 1.0:
            begin = time.monotonic()
            losses = step(share)
            share += (time.monotonic() - begin) / (minutes * MINUTE_S)
            progress.update(bar, completed=share)
            then(share, losses)
