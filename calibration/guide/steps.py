"""The guide: what a person is asked to do, one thing after the other, and whether it was seen.

It knows nothing of faces or eyes: whoever uses it says per step what counts as seen. Time is that
of the frames, so that a recording is followed as quickly as it can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Measure = TypeVar("Measure")

# A frame that cannot be judged stops the clock of the step's patience, but not for ever.
LONGEST_WAIT = 3.0  # in patiences
GAP_S = 2.0  # without a frame for so long, the camera was lost: nobody was seen meanwhile


@dataclass(frozen=True)
class Step(Generic[Measure]):
    """One thing a person is asked to do."""

    key: str  # in reports and JSON
    instruction: str  # one plain sentence
    is_seen: Callable[[Measure], bool]  # in one frame
    hold_s: float = 0.3  # seen in all frames for so long; 0 = one frame is enough
    patience_s: float = 6.0  # skipped after so long; a required step fails the guide instead
    is_required: bool = False
    without: str = ""  # said when it was skipped: what will be missing
    tolerates: frozenset[str] = field(default_factory=frozenset)  # problems that are meant here


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    key: str
    is_seen: bool  # else it was skipped
    began_s: float
    ended_s: float


class Guide(Generic[Measure]):
    """Follows the steps frame by frame.

    In order, each step is waited for and the next one asked for when it was seen. In any order
    (`in_any_order`, for recordings of somebody who was not asked) all open steps are looked for in
    every frame, and nothing is skipped before `finish`.
    """

    def __init__(self, steps: Sequence[Step[Measure]], *, in_any_order: bool = False) -> None:
        """Start before the first step; the clock starts with the first frame.

        Raises:
            ValueError: no step, or two of the same key.
        """
        keys = [step.key for step in steps]
        if not keys or len(set(keys)) < len(keys):
            raise ValueError(f"a guide needs steps with different keys, got {keys}")
        self.steps = tuple(steps)
        self.outcomes: list[Outcome] = []
        self._in_any_order = in_any_order
        self._since: dict[str, float] = {}  # held without a break since
        self._began_s: float | None = None  # of the current step
        self._last_s = 0.0
        self._usable_s = 0.0  # of the current step

    @property
    def current(self) -> Step[Measure] | None:
        """The step that is asked for, None when there is none left."""
        ended = {outcome.key for outcome in self.outcomes}
        return next((step for step in self.steps if step.key not in ended), None)

    @property
    def has_failed(self) -> bool:
        """Whether a required step was not seen in time; nothing more is asked for then."""
        required = {step.key for step in self.steps if step.is_required}
        return any(not each.is_seen and each.key in required for each in self.outcomes)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be asked for."""
        return self.current is None or self.has_failed

    @property
    def held(self) -> float:
        """0..1 how much of the current step's holding time is done."""
        step = self.current
        if step is None or step.key not in self._since:
            return 0.0
        return min(1.0, (self._last_s - self._since[step.key]) / max(step.hold_s, 1e-6))

    @property
    def missing(self) -> tuple[Step[Measure], ...]:
        """The steps that were skipped, or not seen when the guide was finished."""
        unseen = {outcome.key for outcome in self.outcomes if not outcome.is_seen}
        return tuple(step for step in self.steps if step.key in unseen)

    def follow(self, time_s: float, measure: Measure | None) -> tuple[Outcome, ...]:
        """Take one frame; returns the steps that ended with it.

        Args:
            time_s: when it was taken; does not run backwards.
            measure: what was seen, or None when the frame cannot be judged.
        """
        if self._began_s is None:
            self._began_s = self._last_s = time_s
        elapsed_s, self._last_s = time_s - self._last_s, time_s
        if elapsed_s > GAP_S:
            self._since.clear()
            self._began_s += elapsed_s
            elapsed_s = 0.0
        if measure is None:
            self._since.clear()
        else:
            self._usable_s += elapsed_s
        ended = len(self.outcomes)
        if not self.is_over:
            self._look_for_open_steps(time_s, measure)
        return tuple(self.outcomes[ended:])

    def skip(self) -> None:
        """Go on without the current step (the person asked for it)."""
        step = self.current
        if step is not None:
            self._end(step, False, self._last_s)

    def finish(self) -> None:
        """Nothing more will come: what is open counts as skipped."""
        while self.current is not None:
            self.skip()

    def _look_for_open_steps(self, time_s: float, measure: Measure | None) -> None:
        current = self.current
        ended = {outcome.key for outcome in self.outcomes}
        for step in self.steps if self._in_any_order else (current,):
            if step is None or step.key in ended:
                continue
            if measure is None or not step.is_seen(measure):
                self._since.pop(step.key, None)
            elif time_s - self._since.setdefault(step.key, time_s) >= step.hold_s:
                self._end(step, True, time_s)
        if not self._in_any_order and current is self.current and current is not None:
            waited_s = time_s - (self._began_s or 0.0)
            is_hopeless = waited_s >= LONGEST_WAIT * current.patience_s
            if self._usable_s >= current.patience_s or is_hopeless:
                self._end(current, False, time_s)

    def _end(self, step: Step[Measure], is_seen: bool, time_s: float) -> None:
        began_s = time_s if self._began_s is None else self._began_s
        self.outcomes.append(Outcome(step.key, is_seen, began_s, time_s))
        self._since.pop(step.key, None)
        if not self._in_any_order:
            self._began_s, self._usable_s = time_s, 0.0
            self._since.clear()
