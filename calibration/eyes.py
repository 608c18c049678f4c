"""`unvisor calibrate-eyes`: 15 seconds, guided, after which lids and gaze are the wearer's own."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from calibration.guide.prompters import (
    Chorus,
    Prompter,
    SpokenPrompter,
    TerminalPrompter,
    find_speaker,
)
from calibration.guide.steps import Step
from calibration.running_session import RunningSession
from edge.eyes import routine as routines
from edge.eyes.routine import CLOSED, EyeRoutine, Phase
from edge.eyes.verdict import EyesVerdict, judged, own_calibration
from edge.hmd_process import HmdProcess
from edge.profile import load_profile, profile_path, update_profile
from edge.profile.unlock import passphrase_for
from edge.settings import HmdCaptureSettings, SessionSettings, load_toml
from streaming.errors import UserError
from streaming.messages import Notification
from streaming.recordings.reader import Recording
from streaming.records import EyeObservation, EyeParameters
from streaming.security.keys import load_client
from streaming.subscriber import Subscriber
from streaming.topics import EYE_CAMERAS_NOTE, EYE_PARAMETERS, EYES

log = logging.getLogger(__name__)

HEARD_WITHIN_S = 1.5  # a running program sends at camera rate
STARTED_WITHIN_S = 10.0  # cameras that have to be opened first
POLL_S = 0.02
NEVER: Callable[[object], bool] = lambda _: False  # noqa: E731  # phases end by the clock


def calibrate_eyes(
    profile: Annotated[str, typer.Option(help="Name (or folder) of the wearer's profile.")],
    config: Annotated[
        Path | None, typer.Option(help="TOML file that names the eye cameras.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option("--from", help="Recording of the routine instead of cameras.")
    ] = None,
    swapped: Annotated[
        bool | None,
        typer.Option(
            "--swapped/--not-swapped",
            help="Whether the cameras look at the wrong eyes; left out, the lids tell.",
        ),
    ] = None,
    any_person: Annotated[
        bool,
        typer.Option(
            "--any-person",
            help="Even if a running session says that its profile is not of the person in view.",
        ),
    ] = False,
    speak: Annotated[bool, typer.Option(help="Speak the instructions too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the calibration as JSON.")] = False,
) -> None:
    """Learn how far the wearer's eyes open and where they look: 15 s, with the headset on.

    A session that runs with the same profile takes the result over at once. While it says that
    somebody else is in view, nothing is calibrated.
    """
    logging.basicConfig(level=logging.WARNING)
    folder = profile_path(profile)
    passphrase = passphrase_for(folder)
    load_profile(folder, passphrase)  # what is wrong with it is told before the wearer begins
    if recording is not None:
        routine = routine_from_recording(recording)
    else:
        settings = load_toml(config) if config else SessionSettings()
        routine = _guided(settings, _prompter(speak), folder.name, any_person)
    verdict = _judged(routine, swapped)
    update_profile(folder, lambda known: replace(known, eyes=verdict.calibration), passphrase)
    _tell(verdict, folder, as_json)


def routine_from_recording(path: Path) -> EyeRoutine:
    """The routine as it was recorded: the first observation is its beginning.

    Raises:
        UserError: it is no recording, or not of the eye cameras.
    """
    routine: EyeRoutine | None = None
    for arrival in Recording(path).arrivals(*EYES):
        seen = arrival.message
        if isinstance(seen, EyeObservation):
            time_s = seen.capture_time_ns / 1e9
            routine = routine or EyeRoutine(time_s)
            routine.observe(seen, time_s)
    if routine is None:
        raise UserError(
            f"{path} holds nothing that an eye camera saw (topics {' and '.join(EYES)}).",
            "Record the eye cameras' own port: `unvisor record 127.0.0.1:50022 --out FILE`.",
        )
    return routine


def _guided(
    settings: SessionSettings, prompter: Prompter, profile: str, any_person: bool = False
) -> EyeRoutine:
    """Lead the wearer through the routine, live.

    Raises:
        UserError: no eye camera sends anything; or, unless `any_person`, a session that runs here
            sees somebody who is not its profile's owner.
    """
    with ExitStack() as stack:
        stack.callback(prompter.close)
        session = None if any_person else stack.enter_context(RunningSession(settings))
        subscriber = stack.enter_context(_observations(settings, prompter))
        prompter.tell("The eye cameras are there. It takes 15 seconds and begins now.")
        routine = EyeRoutine(time.monotonic())
        phase: Phase | None = None
        while (now := routine.phase_at(time.monotonic())) is not None:
            if now != phase:
                if phase is not None and phase.key == CLOSED:
                    Console(stderr=True).bell()  # closed eyes read nothing
                number = routine.number_at(time.monotonic())
                prompter.ask(Step(now.key, now.instruction, NEVER), number, len(routines.PHASES))
                phase = now
            if session is not None and session.sees_another_person():
                raise _not_the_owner(profile)
            _take(subscriber, routine)
            time.sleep(POLL_S / 4)
        return routine


def _not_the_owner(profile: str) -> UserError:
    """These are not the eyes of the profile's owner: it keeps those that it has."""
    return UserError(
        "The eyes are not calibrated: the running session says that the person in view is not "
        "its profile's.",
        f"Run it again when {profile}'s owner wears the headset. If they do, and the session runs "
        "with another profile, add --any-person.",
    )


def _take(subscriber: Subscriber, routine: EyeRoutine) -> None:
    for topic in (*EYES, *EYE_PARAMETERS):
        arrival = subscriber.slots[topic].take(0)
        if arrival is None:
            continue
        if isinstance(arrival.message, EyeObservation):
            routine.observe(arrival.message, time.monotonic())
        elif isinstance(arrival.message, EyeParameters):
            routine.parameters += 1


@contextmanager
def _observations(settings: SessionSettings, prompter: Prompter) -> Iterator[Subscriber]:
    """What the eye cameras' program sends; it is started here unless it runs already.

    Raises:
        UserError: it sends nothing of the eyes, with why; or the settings name no eye camera.
    """
    hmd = settings.hmd_capture
    keys = load_client(Path(hmd.key)) if hmd.key else None
    with ExitStack() as stack:
        topics = (*EYES, *EYE_PARAMETERS, EYE_CAMERAS_NOTE)
        subscriber = stack.enter_context(Subscriber(hmd.publisher, topics, keys))
        if _is_heard(subscriber, HEARD_WITHIN_S):
            yield subscriber
            return
        note = _note(subscriber)
        is_there = note is not None or subscriber.trouble is not None
        if is_there or hmd.key or hmd.clock:  # it runs already, or is to run elsewhere
            if not _is_heard(subscriber, STARTED_WITHIN_S):
                raise _nothing_of_the_eyes(subscriber, note)
        else:
            if not (hmd.right.source or hmd.left.source):
                raise UserError(
                    "No eye camera sends anything.",
                    "Start `unvisor run` beside it, or name the cameras in a file: --config FILE.",
                )
            prompter.tell("Starting the eye cameras.")
            _start(hmd, settings, stack, subscriber)
        yield subscriber


def _start(
    hmd: HmdCaptureSettings, settings: SessionSettings, stack: ExitStack, subscriber: Subscriber
) -> None:
    # Whoever is led through this wears the headset, whatever sessions look for.
    edge = replace(settings.edge, cover="headset")
    program = HmdProcess(replace(settings, edge=edge))
    program.start()
    stack.callback(program.stop)
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while not _is_heard(subscriber, POLL_S):
        program.check()
        if time.monotonic() > deadline_s:
            named = " and ".join(filter(None, (hmd.right.source, hmd.left.source)))
            raise UserError(
                f"The eye cameras {named} give no images.",
                "See `unvisor devices` for their names, and check their cables.",
            )


def _nothing_of_the_eyes(subscriber: Subscriber, note: str | None) -> UserError:
    """Why a program that is not ours to start is heard of no eye; `note` is its older word."""
    if subscriber.trouble is not None:
        return subscriber.trouble
    newest = _note(subscriber)
    note = note if newest is None else newest
    if note is None:
        return UserError(
            f"Nothing comes from the eye cameras' program at {subscriber.endpoint}.",
            "Start `python -m hmd_capture` on the machine beside the headset, or check the address "
            "in [hmd_capture].",
        )
    return UserError(
        f"The eye cameras' program runs, but tells nothing of the eyes{note and ': '}{note}.",
        "Put that right, or stop the session and start it anew; then run this again.",
    )


def _note(subscriber: Subscriber) -> str | None:
    """What is wrong with the eye cameras, as their program says; None = it was not heard."""
    arrival = subscriber.take(EYE_CAMERAS_NOTE, 0)
    if arrival is None or not isinstance(arrival.message, Notification):
        return None
    return str(arrival.message.fields.get("detail", ""))[:300]


def _is_heard(subscriber: Subscriber, seconds: float) -> bool:
    deadline_s = time.monotonic() + seconds
    while True:
        if any(subscriber.slots[topic].take(0) for topic in (*EYES, *EYE_PARAMETERS)):
            return True
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(POLL_S)


def _judged(routine: EyeRoutine, swapped: bool | None) -> EyesVerdict:
    seen = sum(len(evidence) for evidence in routine.evidence.values())
    if routine.parameters and not seen:
        raise own_calibration()
    return judged(routine.evidence, swapped)


def _prompter(speak: bool) -> Prompter:
    prompters: list[Prompter] = [TerminalPrompter()]
    speaker = find_speaker() if speak else None
    if speaker is not None:
        prompters.append(SpokenPrompter(speaker))
    return Chorus(prompters)


def _tell(verdict: EyesVerdict, folder: Path, as_json: bool) -> None:
    if as_json:
        tree = {
            "profile": str(folder),
            "eyes": [eye.to_json() for eye in verdict.calibration],
            "swapped": verdict.is_swapped,
            "advice": verdict.advice,
        }
        Console(soft_wrap=True).print_json(json.dumps(tree))
        return
    console = Console(highlight=False, soft_wrap=True)
    for sentence in verdict.words:
        console.print(sentence)
    if verdict.advice:
        console.print("Saved, but it could be better:")
        for sentence in verdict.advice:
            console.print(f"  {sentence}")
    else:
        console.print("Good, and saved in the profile. A running session uses it already.")
