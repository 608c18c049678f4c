"""One attempt at a capture: every frame is judged, guides the person, and is kept or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from calibration.capture.shelf import KeptFrame, Shelf
from calibration.finetune.frames import CapturedClip
from calibration.gates.gates import ADVICE, POSED, Verdict, judge
from calibration.gates.look import Look
from calibration.guide.face_steps import FaceMeasure, NeutralFace, face_steps
from calibration.guide.prompters import Prompter, SteadyAdvice
from calibration.guide.steps import Guide, Outcome, Step
from models.covers.reader import CoverReader
from streaming.errors import UserError
from streaming.records import Float32Array, ImageU8

MIN_GOOD_FRAMES = 5
TOO_FEW = "too few frames"
MIN_GOOD_SHARE = 0.1  # of the frames with a face
MOST_BAD = 0.5  # of all frames may have one same fault that no step asks for
NEUTRAL_FRAMES = 20  # frontal ones, until the neutral face settles
LONGEST_S = 90.0


@dataclass
class Take:
    """What was seen so far."""

    shelf: Shelf = field(default_factory=Shelf)
    problems: list[str] = field(default_factory=list)  # per frame, "" = good
    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # sentences about what is missing

    def refusal(self) -> str:
        """Why no profile can be made of this: a key of `ADVICE`, `TOO_FEW`, or "" when one can."""
        if not self.problems:
            return "no face"
        counted = Counter(problem for problem in self.problems if problem)
        good = self.problems.count("")
        spoiled = [(key, n) for key, n in counted.most_common() if key not in POSED]
        if spoiled and spoiled[0][1] > MOST_BAD * len(self.problems):
            return spoiled[0][0]
        if len(self.problems) < MIN_GOOD_FRAMES:
            return TOO_FEW
        if good < max(MIN_GOOD_FRAMES, MIN_GOOD_SHARE * len(self.problems)):
            return counted.most_common(1)[0][0]
        return ""

    def check(self) -> None:
        """Raise UserError with advice when no profile can be made of this."""
        worst = self.refusal()
        if not self.problems:
            raise UserError(
                "No picture came.",
                "Check the camera's cable; of a video or pictures, whether other programs open "
                "them.",
            )
        if worst == TOO_FEW:
            raise UserError(
                f"No profile was made: there are {len(self.problems)} frames, and "
                f"{MIN_GOOD_FRAMES} good ones are needed.",
                "Name a longer video, or a folder with more pictures of the bare face.",
            )
        if worst:
            count = self.problems.count(worst)
            raise UserError(
                f"No profile was made: {count} of {len(self.problems)} frames show this problem: "
                f"{worst}.",
                ADVICE[worst],
            )


@dataclass(frozen=True)
class Seen:
    """What one frame showed, for whoever draws it."""

    mesh: Float32Array | None  # (478,3) px
    verdict: Verdict
    advice: str  # what is being told now, "" = all is well
    ended: tuple[Outcome, ...] = ()


class Taker:
    """Takes frames one by one and leads the person through the steps.

    In any order (recordings), nobody is asked; `finish` then looks for the steps in what was seen.
    """

    def __init__(
        self,
        reader: CoverReader,
        prompter: Prompter,
        steps: Sequence[Step[FaceMeasure]] | None = None,
        *,
        in_any_order: bool = False,
        clip: CapturedClip | None = None,
    ) -> None:
        """Start before the first frame; `clip` gets the usable frames, for fine-tuning."""
        self.take = Take()
        self.guide = Guide(steps or face_steps(), in_any_order=in_any_order)
        self._in_any_order = in_any_order
        self._clip = clip
        self._reader = reader
        self._prompter = prompter
        self._advice = SteadyAdvice(prompter)
        self._asked: Step[FaceMeasure] | None = None
        self._first_meshes: list[Float32Array] = []
        self._neutral: NeutralFace | None = None
        self._previous: Float32Array | None = None
        self._begin_s: float | None = None
        self._seen: list[tuple[float, Float32Array | None]] = []  # in any order: for the end

    @property
    def is_over(self) -> bool:
        """Whether no more frames are wanted."""
        return not self._in_any_order and (self.guide.is_over or self.take.seconds > LONGEST_S)

    def add(self, time_s: float, image: ImageU8, meshes: Sequence[Float32Array]) -> Seen:
        """Take a frame (H,W,3) BGR of a time, with the faces found in it, each (478,3) px."""
        self._begin_s = time_s if self._begin_s is None else self._begin_s
        self.take.seconds = time_s - self._begin_s
        look = Look(image, meshes, self._reader, self._previous)
        self._previous = look.mesh
        verdict = judge(look)
        self.take.problems.append(verdict.problem)
        usable = look.mesh if verdict.is_usable else None
        if usable is not None:
            index = len(self.take.problems) - 1
            self.take.shelf.put(KeptFrame(index, image, usable, verdict.problem))
            if self._clip is not None:
                self._clip.add(index, image, usable)
        if self._in_any_order:
            self._seen.append((time_s, usable))
            return Seen(look.mesh, verdict, "")
        return self._lead(time_s, look, verdict, usable)

    def finish(self) -> Take:
        """No more frames come; returns everything, with what is missing told."""
        if self._in_any_order:
            neutral = NeutralFace.of([mesh for _, mesh in self._seen if mesh is not None])
            for time_s, mesh in self._seen if neutral is not None else ():
                seen = None if mesh is None or neutral is None else neutral.measure(mesh)
                self.guide.follow(time_s, seen)
        self.guide.finish()
        self.take.outcomes = list(self.guide.outcomes)
        self.take.told = [step.without for step in self.guide.missing if step.without]
        return self.take

    def skip(self) -> None:
        """Go on without the current step."""
        self.guide.skip()

    def _lead(
        self, time_s: float, look: Look, verdict: Verdict, usable: Float32Array | None
    ) -> Seen:
        step = self.guide.current
        self._ask(step)
        tolerated = step.tolerates if step is not None else frozenset()
        is_meant = verdict.problem == "" or (verdict.is_usable and verdict.problem in tolerated)
        measure = None
        if usable is not None:
            self._settle_neutral(usable)
            measure = self._neutral.measure(usable) if self._neutral is not None else None
        ended = self.guide.follow(time_s, measure)
        for outcome in ended:
            self._tell(outcome)
        if self.guide.is_over:
            self._prompter.tell("Done.")
        told = self._advice.update(time_s, "" if is_meant else ADVICE[verdict.problem])
        return Seen(look.mesh, verdict, told, ended)

    def _settle_neutral(self, mesh: Float32Array) -> None:
        """The first step is looking straight: what is seen then is the neutral face."""
        if not self.guide.outcomes:
            self._first_meshes = [*self._first_meshes, mesh][-NEUTRAL_FRAMES:]
            self._neutral = NeutralFace.of(self._first_meshes)

    def _ask(self, step: Step[FaceMeasure] | None) -> None:
        if step is not None and step is not self._asked:
            self._asked = step
            number = self.guide.steps.index(step) + 1
            self._prompter.ask(step, number, len(self.guide.steps))

    def _tell(self, outcome: Outcome) -> None:
        if outcome.is_seen:
            self._prompter.tell("Good.")
            return
        step = next(step for step in self.guide.steps if step.key == outcome.key)
        self._prompter.tell(step.without or "That was not seen.")
