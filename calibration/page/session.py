"""The capture led from a page: ready, guided, result shown, saved or taken again."""

from __future__ import annotations

import logging
import queue
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from rich.console import Console

from calibration.capture.draft import Draft, as_jpeg, make_draft, view_pictures
from calibration.capture.feed import Feed
from calibration.capture.take import Seen, Take, Taker
from calibration.finetune.frames import CapturedClip
from calibration.gates.gates import ADVICE, judge
from calibration.gates.look import Look
from calibration.guide.prompters import Chorus, Prompter, SteadyAdvice
from calibration.page.content import CapturePage, View, camera_pane
from edge.camera import Source
from edge.profile import SessionProfile
from models.covers.reader import CoverReader
from models.face.mediapipe_mesh import FaceMesher
from streaming.errors import UserError
from streaming.records import Float32Array, ImageU8

log = logging.getLogger(__name__)

DEFAULT_PORT = 8751
FAREWELL_S = 3.0  # for the page to hear that all is saved
FindFaces = Callable[[ImageU8], Sequence[Float32Array]]
MakeDraft = Callable[[Take], Draft]
# Returns what to tell about it, as sentences; raises UserError when it cannot.
Save = Callable[[SessionProfile], Sequence[str]]


class Frames(Protocol):
    """What is needed of a `Feed`."""

    @property
    def is_live(self) -> bool:
        """Whether somebody is there who can be asked to do something."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether the camera is gone at the moment."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether the file is over."""
        ...

    def take(self, timeout_s: float = 0.1) -> tuple[float, ImageU8] | None:
        """(time in s, frame), or None when none came in time."""
        ...

    def restart(self) -> None:
        """From the beginning again."""
        ...


class Cancelled(UserError):
    """The person went away from the page without saving."""


class PageSession:
    """One sitting: any number of attempts, at most one saved profile."""

    def __init__(
        self,
        page: CapturePage,
        frames: Frames,
        find_faces: FindFaces,
        reader: CoverReader,
        save: Save,
        prompter: Prompter | None = None,
        seconds: float = 20.0,
        make: MakeDraft = make_draft,
        clip: CapturedClip | None = None,
    ) -> None:
        """The parts are opened and closed by the caller; `seconds` counts for files only.

        `clip` gets the usable frames of the last attempt.
        """
        self._page, self._frames, self._find_faces = page, frames, find_faces
        self._reader, self._save, self._seconds = reader, save, seconds
        self._prompter = prompter or Chorus([])
        self._make, self._clip = make, clip
        self._last_pane: Callable[[], bytes] | None = None

    def run(self) -> Draft:
        """Until a profile is saved.

        Raises:
            Cancelled: the person gave up.
            UserError: the camera failed.
        """
        while True:
            self._get_ready()
            take = self._guided()
            draft = self._made(take) if take is not None else None
            if draft is not None and self._is_accepted(draft):
                return draft
            self._frames.restart()

    def _get_ready(self) -> None:
        """Show the live picture with advice until the person starts."""
        advice = SteadyAdvice(Chorus([]))
        previous: Float32Array | None = None
        while self._wish(("start",)) is None:
            taken = self._frames.take()
            if taken is None:
                if self._frames.has_ended:
                    self._frames.restart()
                elif self._frames.is_lost:
                    self._show_lost()
                continue
            look = Look(taken[1], self._find_faces(taken[1]), self._reader, previous)
            previous = look.mesh
            verdict = judge(look)
            told = advice.update(taken[0], ADVICE.get(verdict.problem, ""))
            facts = {"phase": "ready", "advice": told, "can_start": True}
            self._show(facts, taken[1], Seen(look.mesh, verdict, told))
        self._frames.restart()

    def _guided(self) -> Take | None:
        """One attempt; None when the person wants to begin anew."""
        is_live = self._frames.is_live
        if self._clip is not None:
            self._clip.clear()
        taker = Taker(self._reader, self._prompter, in_any_order=not is_live, clip=self._clip)
        while not taker.is_over:
            wish = self._wish(("skip", "again"))
            if wish == "again":
                return None
            if wish == "skip":
                taker.skip()
            has_ended = self._frames.has_ended
            taken = self._frames.take()
            if taken is None:
                if has_ended:
                    break
                if self._frames.is_lost:
                    self._show_lost()
                continue
            if not is_live and taken[0] >= self._seconds:
                break
            seen = taker.add(*taken, self._find_faces(taken[1]))
            self._show(self._guide_facts(taker, seen, taken[0]), taken[1], seen)
        return taker.finish()

    def _made(self, take: Take) -> Draft | None:
        """The profile and its trial; None after the person was told what was wrong."""
        self._show_still({"phase": "working"})
        try:
            return self._make(take)
        except UserError as error:
            self._show_still({"phase": "refused", **_sentence(error)})
            self._wait_for(("again", "start"))
            return None

    def _is_accepted(self, draft: Draft) -> bool:
        """Show the result; True once it is saved, False to take it again."""
        facts: dict[str, Any] = {"phase": "result", "result": _result_facts(draft)}
        panes: dict[str, Callable[[], bytes]] = {
            "trial": lambda: as_jpeg(draft.trial.picture),
            **{
                f"view{index}": partial(as_jpeg, image)
                for index, image in enumerate(view_pictures(draft.profile.references))
            },
        }
        while True:
            self._page.show(View(facts, panes))
            if self._wait_for(("save", "again")) == "again":
                return False
            try:
                told = " ".join(self._save(draft.profile))
            except UserError as error:  # a full disk can be emptied
                facts = {**facts, **_sentence(error)}
                continue
            self._page.show(
                View({**facts, "phase": "saved", "message": told, "next_step": ""}, panes)
            )
            self._page.wait_until_seen(FAREWELL_S)
            return True

    def _guide_facts(self, taker: Taker, seen: Seen, time_s: float) -> dict[str, Any]:
        guide = taker.guide
        states = {each.key: "seen" if each.is_seen else "skipped" for each in guide.outcomes}
        current = guide.current if self._frames.is_live else None
        if current is not None:
            states[current.key] = "asked"
        words = "Looking at the recording." if current is None else current.instruction
        share = guide.held if self._frames.is_live else min(1.0, time_s / self._seconds)
        return {
            "phase": "guiding",
            "instruction": words,
            "advice": seen.advice,
            "held": round(share, 3),
            "can_skip": current is not None and not current.is_required,
            "steps": [
                {"key": step.key, "state": states.get(step.key, "open")}
                for step in (guide.steps if self._frames.is_live else ())
            ],
        }

    def _show(self, facts: dict[str, Any], image: ImageU8, seen: Seen) -> None:
        self._last_pane = lambda: camera_pane(image, seen.mesh, not seen.advice)
        self._page.show(View(facts, {"camera": self._last_pane}))

    def _show_still(self, facts: dict[str, Any]) -> None:
        panes = {} if self._last_pane is None else {"camera": self._last_pane}
        self._page.show(View(facts, panes))

    def _show_lost(self) -> None:
        self._page.show(View({"phase": "lost"}))

    def _wish(self, wanted: Sequence[str]) -> str | None:
        """The newest wish among those that mean something now, without waiting."""
        found = None
        while True:
            try:
                wish = self._page.wishes.get_nowait()
            except queue.Empty:
                return found
            self._check(wish)
            found = wish if wish in wanted else found

    def _wait_for(self, wanted: Sequence[str]) -> str:
        while True:
            wish = self._page.wishes.get()
            self._check(wish)
            if wish in wanted:
                return wish

    def _check(self, wish: str) -> None:
        if wish == "cancel":
            self._page.show(View({"phase": "cancelled"}))
            self._page.wait_until_seen(FAREWELL_S)
            raise Cancelled("Nothing was saved.", "A profile made before is unchanged.")


def run_on_page(
    open_source: Callable[[], Source],
    reader: CoverReader,
    save: Save,
    prompter: Prompter,
    port: int,
    seconds: float,
    clip: CapturedClip | None = None,
    make: MakeDraft = make_draft,
) -> Draft:
    """Serve the page, open it in the browser, and lead a capture from there.

    Raises:
        UserError: the camera cannot be opened or fails, the port is taken, or nothing was saved.
    """
    with (
        CapturePage(port) as page,
        Feed(open_source, paced=True) as feed,
        FaceMesher(max_faces=2) as mesher,
    ):
        console = Console(stderr=True, highlight=False)
        console.print(f"The page to follow: {page.url}", soft_wrap=True)
        try:
            webbrowser.open(page.url)
        except webbrowser.Error as error:
            log.warning("no browser could be opened (%s)", error)
        session = PageSession(
            page, feed, mesher.meshes, reader, save, prompter, seconds, make, clip
        )
        return session.run()


def _sentence(error: UserError) -> dict[str, str]:
    return {"message": error.message, "next_step": error.next_step}


def _result_facts(draft: Draft) -> dict[str, Any]:
    trial = draft.trial
    return {
        "words": trial.words,
        "psnr_masked_db": round(trial.psnr_masked_db, 1),
        "ssim": round(trial.ssim, 3),
        "frames": trial.frames,
        "seconds": round(draft.take.seconds, 1),
        "views": list(draft.views),
        "missing": list(draft.take.told),
    }
