"""How a person hears what to do: in the terminal, spoken, or both."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console

from calibration.guide.steps import Step

log = logging.getLogger(__name__)

# Whatever is installed, in this order; each takes the sentence as its last argument.
SPEAKERS = (("spd-say", "--wait"), ("espeak-ng",), ("espeak",), ("say",))
# Advice that changes with every frame cannot be read: it has to stand for so long.
ADVICE_AFTER_S = 0.7


class Prompter(Protocol):
    """Tells a person what to do; every call returns at once."""

    def ask(self, step: Step[Any], number: int, count: int) -> None:
        """A new step: the `number`th of `count`."""
        ...

    def advise(self, sentence: str) -> None:
        """What keeps the step from being seen, or "" when nothing does any more."""
        ...

    def tell(self, sentence: str) -> None:
        """Something that has happened: a step was seen or skipped, all is done."""
        ...

    def close(self) -> None:
        """Nothing more will be said."""
        ...


class TerminalPrompter:
    """Writes a line for everything that is said."""

    def __init__(self, console: Console | None = None) -> None:
        """Write to `console`, or to standard error: standard output is for results."""
        self._console = console or Console(stderr=True, highlight=False)

    def ask(self, step: Step[Any], number: int, count: int) -> None:
        """See `Prompter.ask`."""
        self._console.print(f"[bold]{number}/{count}[/bold] {step.instruction}", soft_wrap=True)

    def advise(self, sentence: str) -> None:
        """See `Prompter.advise`."""
        if sentence:
            self._console.print(f"    {sentence}", style="yellow", soft_wrap=True)

    def tell(self, sentence: str) -> None:
        """See `Prompter.tell`."""
        self._console.print(f"    {sentence}", style="dim", soft_wrap=True)

    def close(self) -> None:
        """See `Prompter.close`."""


class SpokenPrompter:
    """Speaks through a program of the system; a newer sentence cuts an older one short."""

    def __init__(self, command: Sequence[str]) -> None:
        """`command` takes the sentence as its last argument; see `find_speaker`."""
        self._command = tuple(command)
        self._speaking: subprocess.Popen[bytes] | None = None

    def ask(self, step: Step[Any], number: int, count: int) -> None:
        """See `Prompter.ask`."""
        self._say(step.instruction)

    def advise(self, sentence: str) -> None:
        """See `Prompter.advise`."""
        if sentence:
            self._say(sentence)

    def tell(self, sentence: str) -> None:
        """See `Prompter.tell`."""
        self._say(sentence)

    def close(self) -> None:
        """Let the last sentence end by itself, unless it takes long."""
        if self._speaking is not None:
            try:
                self._speaking.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self._silence()

    def _say(self, sentence: str) -> None:
        self._silence()
        try:
            self._speaking = subprocess.Popen(
                (*self._command, sentence),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:  # a voice is a help, never a condition
            log.warning("%s does not speak: %s", self._command[0], error.strerror)

    def _silence(self) -> None:
        if self._speaking is not None and self._speaking.poll() is None:
            self._speaking.kill()
            self._speaking.wait()
        self._speaking = None


class Chorus:
    """Several prompters as one."""

    def __init__(self, prompters: Sequence[Prompter]) -> None:
        """Pass everything on to each of `prompters`."""
        self._prompters = tuple(prompters)

    def ask(self, step: Step[Any], number: int, count: int) -> None:
        """See `Prompter.ask`."""
        for each in self._prompters:
            each.ask(step, number, count)

    def advise(self, sentence: str) -> None:
        """See `Prompter.advise`."""
        for each in self._prompters:
            each.advise(sentence)

    def tell(self, sentence: str) -> None:
        """See `Prompter.tell`."""
        for each in self._prompters:
            each.tell(sentence)

    def close(self) -> None:
        """See `Prompter.close`."""
        for each in self._prompters:
            each.close()


class SteadyAdvice:
    """Passes advice on once it stands: what flickers is not worth reading.

    Args:
        after_s: how long the same advice has to come.
    """

    def __init__(self, prompter: Prompter, after_s: float = ADVICE_AFTER_S) -> None:
        """Nothing is advised yet."""
        self._prompter = prompter
        self._after_s = after_s
        self._wanted, self._since_s = "", 0.0
        self._told = ""

    def update(self, time_s: float, sentence: str) -> str:
        """Take one frame's advice ("" = all is well); returns what is being told now."""
        if sentence != self._wanted:
            self._wanted, self._since_s = sentence, time_s
        elif sentence != self._told and time_s - self._since_s >= self._after_s:
            self._told = sentence
            self._prompter.advise(sentence)
        return self._told


def find_speaker() -> tuple[str, ...] | None:
    """The command of a program that speaks, or None where none is installed."""
    return next((command for command in SPEAKERS if shutil.which(command[0])), None)
