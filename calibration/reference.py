"""`calibrate-reference`: makes the wearer's profile from a few seconds of their bare face."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.progress import Progress

from calibration.capture.draft import Draft, make_draft
from calibration.capture.feed import Feed
from calibration.capture.keeping import Saving
from calibration.capture.setup import CaptureSource
from calibration.capture.take import Take, Taker
from calibration.capture.telling import console_for_people, tell_result, tell_saved
from calibration.finetune.frames import CapturedClip
from calibration.finetune.process import check_torch, finetune_profile
from calibration.guide.prompters import (
    Chorus,
    Prompter,
    SpokenPrompter,
    TerminalPrompter,
    find_speaker,
)
from calibration.page.session import DEFAULT_PORT, MakeDraft, run_on_page
from edge.camera import Source
from edge.profile import DOCUMENT, load_profile, profile_path
from edge.profile.passphrase import new_passphrase
from edge.profile.sealing import Lock
from edge.profile.store import MAKE_AGAIN
from edge.profile.unlock import lock_for, passphrase_for
from models.covers.reader import CoverReader
from models.face.mediapipe_mesh import FaceMesher
from models.shipped import SHIPPED_NETWORK, load_network
from models.weights_error import WeightsError
from streaming.errors import UserError

log = logging.getLogger(__name__)


def calibrate_reference(
    profile: Annotated[str, typer.Option(help="Name (or folder) of the profile to make.")],
    video: Annotated[
        Path | None, typer.Option(help="Use this video, or folder of pictures, of the bare face.")
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Camera id from `unvisor devices`.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="How much of a video to look at.")] = 20.0,
    page: Annotated[
        bool | None,
        typer.Option(
            "--page/--no-page",
            help="Guide in a page of the browser. The default with a camera on a desktop.",
        ),
    ] = None,
    page_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of that page; 0 = any.")
    ] = DEFAULT_PORT,
    auto: Annotated[bool, typer.Option(help="Ask nothing: save what is good enough.")] = False,
    no_plate: Annotated[
        bool, typer.Option("--no-plate", help="Keep no picture of the room behind you.")
    ] = False,
    speak: Annotated[bool, typer.Option(help="Speak the instructions too.")] = False,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Keep the profile under a passphrase.")
    ] = False,
    finetune: Annotated[
        float,
        typer.Option(min=0, help="Then fine-tune the network on the clip for so many minutes."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the quality report.")] = False,
) -> None:
    """Make the wearer's profile: look at the camera, without the headset, and do what is asked."""
    logging.basicConfig(level=logging.WARNING)
    cv2.setNumThreads(1)
    clip = _clip_for(finetune)
    open_source = CaptureSource(video, camera)
    folder = profile_path(profile)
    lock, passphrase = _lock(folder, encrypt)  # asks before anybody sits still for the camera
    _tell_replaced(profile, folder)
    saving = Saving(folder, lock, passphrase)
    make = partial(
        make_draft,
        with_plate=not no_plate,
        setup=open_source.setup,
        remark=open_source.remark,
    )
    if page is None:
        page = camera is not None and not auto and not as_json and _is_desktop()
    asks = not page and not auto and camera is not None and sys.stdin.isatty()
    with closing(_prompter(speak)) as prompter, _stopped_in_a_sentence(saving):
        if page:
            draft = run_on_page(
                open_source, open_reader(), saving, prompter, page_port, seconds, clip, make
            )
        else:
            draft = _run_in_terminal(open_source, prompter, seconds, clip, make)
            if asks:
                _ask(draft)
            saving(draft.profile)
    tuned = _finetuned(folder, clip, finetune, passphrase) if clip else ""
    if as_json:
        told = {"kept": list(saving.kept.told), "finetuned": tuned}
        tree = {"profile": str(folder), **draft.document, **told}
        Console(soft_wrap=True).print_json(json.dumps(tree))
        return
    if not asks:  # else it was told with the question
        tell_result(draft, console_for_people())
    tell_saved(profile, saving, draft.profile)
    if tuned:
        console_for_people().print(tuned)


@contextmanager
def _stopped_in_a_sentence(saving: Saving) -> Iterator[None]:
    """Ctrl-C ends the capture with what became of the profile; raises UserError."""
    try:
        yield
    except KeyboardInterrupt as error:
        if saving.is_done:  # while the page still showed that
            raise UserError(
                f"Stopped. The new profile was saved before: {saving.folder}."
            ) from error
        raise UserError(
            "Stopped before anything was saved.", "A profile made before is unchanged."
        ) from error


def _ask(draft: Draft) -> None:
    """Show the result on standard error; raises `UserError` unless it pleases."""
    tell_result(draft, Console(stderr=True, highlight=False, soft_wrap=True))
    if not typer.confirm("Save this profile?", default=True, err=True):
        raise UserError("Nothing was saved.", "Start again for another try.")


def _clip_for(minutes: float) -> CapturedClip | None:
    """What keeps the frames for fine-tuning; None when it was not asked for.

    Raises:
        UserError: it cannot run here.
    """
    if not minutes:
        return None
    check_torch()
    return CapturedClip(load_network(SHIPPED_NETWORK).size_px)


def _finetuned(folder: Path, clip: CapturedClip, minutes: float, passphrase: str | None) -> str:
    """A sentence about what came of it; the profile is there whatever happens."""
    try:
        return finetune_profile(folder, clip, minutes, passphrase)
    except KeyboardInterrupt:
        return "Fine-tuning was stopped; the profile is saved without it."
    except UserError as error:
        return f"{str(error).rstrip('.')}. The profile is saved without it."


def _tell_replaced(profile: str, folder: Path) -> None:
    """Say beforehand that a profile is there, and until when it is kept."""
    if (folder / DOCUMENT).exists():
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(
            f"There is a profile {profile} already: the new one takes its place when it is saved. "
            "Ctrl-C before that keeps it."
        )


def _lock(folder: Path, encrypt: bool) -> tuple[Lock | None, str | None]:
    """The lock of the profile to make, and its passphrase: nobody is asked twice for it.

    An encrypted profile stays under its passphrase.

    Raises:
        UserError: as of `lock_for` and `load_profile`; or the profile is damaged, so that nobody
            can tell whether its passphrase was given.
    """
    if not encrypt:
        return lock_for(folder, encrypt), None
    passphrase = passphrase_for(folder)
    if passphrase is None:
        passphrase = new_passphrase()
        return Lock.new(passphrase), passphrase
    try:
        return load_profile(folder, passphrase).lock, passphrase
    except UserError as error:
        if error.next_step != MAKE_AGAIN:  # it is what is being done
            raise
        delete = f"Delete it with `unvisor profiles delete {folder.name}` and run this again."
        raise UserError(error.message, delete) from error


def _run_in_terminal(
    open_source: Callable[[], Source],
    prompter: Prompter,
    seconds: float,
    clip: CapturedClip | None = None,
    make: MakeDraft = make_draft,
) -> Draft:
    """Take and make a profile with prompts or a progress bar."""
    with Feed(open_source) as feed, FaceMesher(max_faces=2, tracking=not feed.is_still) as mesher:
        taker = Taker(open_reader(), prompter, in_any_order=not feed.is_live, clip=clip)
        take = follow(feed, taker, mesher, seconds)
    console = Console(stderr=True)
    with console.status("making the profile and trying it on"):
        return make(take)


def follow(feed: Feed, taker: Taker, mesher: FaceMesher, seconds: float) -> Take:
    """Take frames until the guide is over, or `seconds` of a file or the file itself are."""
    with Progress(console=Console(stderr=True), transient=True, disable=feed.is_live) as progress:
        bar = progress.add_task("looking at the face", total=seconds)
        while not taker.is_over:
            has_ended = feed.has_ended  # asked first: what came before the end is still taken
            taken = feed.take()
            if taken is None:
                if has_ended:
                    break
                continue
            time_s, image = taken
            if not feed.is_live and time_s >= seconds:
                break
            taker.add(time_s, image, mesher.meshes(image))
            progress.update(bar, completed=time_s)
    return taker.finish()


def open_reader() -> CoverReader:
    """The network that notices hands and hair.

    Raises:
        UserError: it cannot be used.
    """
    try:
        return CoverReader()
    except WeightsError as error:
        raise UserError(str(error)) from error


def _prompter(speak: bool) -> Prompter:
    prompters: list[Prompter] = [TerminalPrompter()]
    speaker = find_speaker() if speak else None
    if speaker is not None:
        prompters.append(SpokenPrompter(speaker))
    elif speak:
        log.warning("nothing here speaks: install speech-dispatcher or espeak-ng")
    return Chorus(prompters)


def _is_desktop() -> bool:
    """Whether a browser window can be expected to open here."""
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.platform in ("darwin", "win32") or has_display
