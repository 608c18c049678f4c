"""The guided routine that calibrates the eyes: 15 seconds of things to do, and what was seen.

It knows no clock and no sockets: whoever runs it says what time it is and hands over what the eye
cameras saw.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.eyes.learning import AHEAD, DOWN, LEFT, RIGHT, UP, Evidence
from streaming.records import EyeObservation, Side

MIN_CONFIDENCE = 0.3
REACTION_S = 0.7  # what is seen earlier in a phase belongs to none
CLOSED, BLINK = "closed", "blink"
BETWEEN = "between"
# Closed eyes read nothing: whoever shows this rings a bell when it is over.
CLOSE_EYES = "Look ahead and close your eyes, until you hear a signal."


@dataclass(frozen=True)
class Phase:
    """One thing to do."""

    key: str
    instruction: str  # one plain sentence
    seconds: float


PHASES = (
    Phase(AHEAD, "Look straight ahead.", 2.5),
    Phase(LEFT, "Keep your head still and look as far to the left as is comfortable.", 1.75),
    Phase(RIGHT, "Look to the right.", 1.75),
    Phase(UP, "Look up.", 1.75),
    Phase(DOWN, "Look down.", 1.75),
    Phase(CLOSED, CLOSE_EYES, 2.5),
    Phase(BLINK, "Open your eyes, look straight ahead and blink a few times.", 3.0),
)
ROUTINE_S = sum(phase.seconds for phase in PHASES)


class EyeRoutine:
    """Collects what both eye cameras see while the wearer follows the phases."""

    def __init__(self, start_s: float) -> None:
        """Begin with the first phase at `start_s`, on the clock of the times given later."""
        self._start_s = start_s
        self.evidence = {side: Evidence() for side in Side}
        self.parameters = 0  # how often a headset told gaze or openness, without images
        self.unsure = 0  # images in which no eye was seen

    def phase_at(self, time_s: float) -> Phase | None:
        """What is to be done at that time; None when all is over."""
        return self._phase_and_age(time_s)[0]

    def number_at(self, time_s: float) -> int:
        """Which phase that is, from 1."""
        phase = self.phase_at(time_s)
        return len(PHASES) if phase is None else PHASES.index(phase) + 1

    def observe(self, observation: EyeObservation, time_s: float) -> None:
        """Keep what one eye camera saw at that time."""
        phase, age_s = self._phase_and_age(time_s)
        if phase is None or time_s < self._start_s:
            return
        if observation.confidence < MIN_CONFIDENCE:
            self.unsure += 1
            return
        step = phase.key if age_s >= REACTION_S else BETWEEN
        self.evidence[observation.side].add(observation, step)

    def _phase_and_age(self, time_s: float) -> tuple[Phase | None, float]:
        age_s = time_s - self._start_s
        for phase in PHASES:
            if age_s < phase.seconds:
                return phase, age_s
            age_s -= phase.seconds
        return None, age_s
