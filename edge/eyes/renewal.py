"""A new eye calibration while a session runs: redone from inside VR, or made by another program."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from edge.eyes.fusion import Calibrations, EyeFusion
from edge.eyes.osc_requests import OscRequests
from edge.eyes.routine import EyeRoutine
from edge.eyes.verdict import judged, own_calibration
from edge.profile import DOCUMENT, SessionProfile, load_profile, update_profile
from edge.settings import SessionSettings
from streaming.closing import Closing
from streaming.errors import UserError
from streaming.records import EyeObservation, EyeParameters

log = logging.getLogger(__name__)

LOOK_S = 1.0  # how often the profile's file is looked at
POLL_S = 0.1
TOLD_S = 8.0  # how long an outcome stays in the status line
NOT_THE_WEARER = (
    "The eyes are not calibrated: the person in view is not the profile's. "
    "Ask again when its owner wears the headset."
)
CAPTURED_ANEW = (
    "The profile was captured anew: this session goes on with views and eyes of the capture it "
    "began with. Start it again to use the new one."
)
IsWrong = Callable[[], bool]


@contextmanager
def open_renewal(
    fusion: EyeFusion,
    settings: SessionSettings,
    passphrase: str | None,
    is_wrong_person: IsWrong,
    made: str = "",
) -> Iterator[EyeRenewal]:
    """Keep the fusion's calibration up to date, asked over OSC too where the settings say so.

    `passphrase` opens an encrypted profile; `is_wrong_person` and `made` as in `EyeRenewal`.

    Raises:
        UserError: the port for OSC is taken.
    """
    folder = Path(settings.edge.profile)
    with EyeRenewal(
        fusion, folder, passphrase=passphrase, is_wrong_person=is_wrong_person, made=made
    ) as renewal:
        port = settings.edge.osc.request_port
        if not port:
            yield renewal
            return
        requests = OscRequests(port, renewal.recalibrate, renewal.recentre)
        try:
            yield renewal
        finally:
            requests.close()


class EyeRenewal(Closing):
    """Keeps a running session's eye calibration up to date, on a thread of its own.

    What is learned here is saved in the profile; what another program saves there is taken over,
    but from another capture nothing, and nothing is saved in one: its views are not in use here.
    """

    def __init__(
        self,
        fusion: EyeFusion,
        folder: Path,
        *,
        passphrase: str | None = None,
        is_wrong_person: IsWrong = lambda: False,
        made: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is the profile's; `passphrase` opens it when it is encrypted.

        While `is_wrong_person`, nothing is learned: these are not the eyes of the profile's owner.
        `made` tells the session's capture, as in `SessionProfile`; empty = whichever is there.
        """
        self._fusion, self._folder = fusion, folder
        self._passphrase, self._clock = passphrase, clock
        self._is_wrong_person, self._made = is_wrong_person, made
        self._lock = threading.Lock()
        self._routine: EyeRoutine | None = None
        self._wants_recentring = False
        self._calibrates_itself = False  # the headset, as what came last says
        self._told, self._told_s = "", -TOLD_S
        self._failure = ""  # that of the last look, if it failed unexpectedly
        self._stamp = self._file_stamp()
        self._looked_s = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eye renewal", daemon=True)
        self._thread.start()

    @property
    def note(self) -> str:
        """What the wearer is to do now, or what came of it; empty = nothing."""
        with self._lock:
            now_s = self._clock()
            phase = self._routine.phase_at(now_s) if self._routine else None
            if phase is not None:
                return f"calibrating the eyes: {phase.instruction}"
            return self._told if now_s - self._told_s < TOLD_S else ""

    def recalibrate(self) -> None:
        """Begin the routine, from the start if it is running already."""
        with self._lock:
            self._routine = EyeRoutine(self._clock())
        log.info("the eyes are calibrated anew")

    def recentre(self) -> None:
        """Take where the wearer looks now as straight ahead; ranges stay."""
        with self._lock:
            self._wants_recentring = True

    def observe(self, observation: EyeObservation | EyeParameters) -> None:
        """Hand on to the fusion what the eye cameras see, and learn from it while asked to."""
        self._fusion.observe(observation)
        self._calibrates_itself = isinstance(observation, EyeParameters)
        if isinstance(observation, EyeObservation):
            with self._lock:
                if self._routine is not None:
                    self._routine.observe(observation, self._clock())

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self._look()
                self._failure = ""
            except UserError as error:
                self._tell(str(error))
            except Exception as error:  # nobody would notice that this thread ended
                self._fail(f"The eye calibration could not be renewed: {error!r}.")

    def _look(self) -> None:
        if self._is_wrong_person():
            self._refuse(NOT_THE_WEARER)
        elif self._calibrates_itself:  # what is learned here would change nothing
            self._refuse(str(own_calibration()))
        else:
            self._finish_routine()
            self._recentre()
        self._look_at_profile()

    def _fail(self, sentence: str) -> None:
        """Say it once, however often it happens in a row."""
        if sentence != self._failure:
            log.error("%s", sentence, exc_info=True)
            self._show(sentence)
        self._failure = sentence

    def _refuse(self, sentence: str) -> None:
        """Forget what was asked for, and what a routine that runs has seen; say why."""
        with self._lock:
            was_asked = self._routine is not None or self._wants_recentring
            self._routine, self._wants_recentring = None, False
        if was_asked:
            self._tell(sentence)

    def _finish_routine(self) -> None:
        with self._lock:
            routine = self._routine
            if routine is None or routine.phase_at(self._clock()) is not None:
                return
            self._routine = None
        verdict = judged(routine.evidence)
        self._take(verdict.calibration)
        self._tell(" ".join(["The eyes are calibrated.", *verdict.advice]))

    def _recentre(self) -> None:
        with self._lock:
            wanted, self._wants_recentring = self._wants_recentring, False
        if not wanted:
            return
        changed = self._fusion.recentre()
        if changed is None:
            self._tell("The gaze was not centred: look straight ahead with both eyes open.")
            return
        self._keep(changed)
        self._tell("The gaze is centred.")

    def _take(self, calibration: Calibrations) -> None:
        self._fusion.use_calibration(calibration)
        self._keep(calibration)

    def _keep(self, calibration: Calibrations) -> None:
        def change(known: SessionProfile) -> SessionProfile:
            if self._is_another(known):
                raise UserError(f"This holds for this session alone. {CAPTURED_ANEW}")
            return replace(known, eyes=calibration)

        update_profile(self._folder, change, self._passphrase)
        self._stamp = self._file_stamp()

    def _is_another(self, found: SessionProfile) -> bool:
        return self._made not in ("", found.made)

    def _look_at_profile(self) -> None:
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        stamp = self._file_stamp()
        if stamp == self._stamp or stamp is None:
            return
        self._stamp = stamp
        found = load_profile(self._folder, self._passphrase)
        if self._is_another(found):
            self._tell(CAPTURED_ANEW)
        elif found.eyes != self._fusion.calibration:
            self._fusion.use_calibration(found.eyes)
            self._tell("A new eye calibration is in use.")

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            status = (self._folder / DOCUMENT).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _tell(self, sentence: str) -> None:
        log.info("%s", sentence)
        self._show(sentence)

    def _show(self, sentence: str) -> None:
        with self._lock:
            self._told, self._told_s = sentence, self._clock()
