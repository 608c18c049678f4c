"""Keeps one eye camera open: reads it on a thread of its own, opens it again when it is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from hmd_capture.sources.device import BadPicture, Device, DeviceLost, Shot
from hmd_capture.sources.eye_view import EyeView
from streaming.clock import NS_PER_S, monotonic_ns
from streaming.messages import EyeImage
from streaming.records import Side
from streaming.slot import Latest

LOGGER = logging.getLogger(__name__)
# Short enough that a camera which is back is seen within a second, whatever it waited before.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4
SILENT_S = 2.0  # a connection without a whole image for so long is given up and made anew
MAX_BAD_IN_A_ROW = 30  # likewise one that sends nothing but rubbish
MAX_AGE_S = 2.0  # what is older was stuck on the way, or its stamp is wrong
READ_S = 0.1  # how soon `close` is noticed
JOIN_S = 3.0  # a driver may hang; its thread ends with the process


class LiveCamera:
    """One device that carries one eye, or both side by side."""

    def __init__(
        self,
        name: str,
        hint: str,
        device: Device,
        views: Mapping[Side, EyeView],
        woken: threading.Event,
    ) -> None:
        """Start reading; a device that is not there is waited for.

        `name` is what the user wrote, `hint` what to check when it is lost, `woken` is set when
        there is something to take.
        """
        self.name, self.hint = name, hint
        self.sides = tuple(views)
        self.counts = device.counts
        self.trouble = ""  # why it is not read now, in a few words
        self._device, self._views, self._woken = device, views, woken
        self._slot: Latest[tuple[EyeImage, ...]] = Latest()
        self._frame_id = 0
        self._started_s = self._heard_s = time.monotonic()
        self._last_ns = 0
        self._shape: tuple[int, ...] | None = None
        self._is_failing = False  # in a way that the log has told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_open, name=f"eye {name}", daemon=True)
        self._thread.start()

    @property
    def age_s(self) -> float:
        """Seconds since the last usable image, or since the start."""
        return time.monotonic() - self._heard_s

    @property
    def was_heard(self) -> bool:
        """Whether there has been any usable image."""
        return self._frame_id > 0

    def take(self) -> tuple[EyeImage, ...]:
        """Return the newest unseen image of each of its eyes, at once."""
        return self._slot.take(0) or ()

    def close(self) -> None:
        """Stop reading and let go of the device."""
        self._stop.set()
        self._thread.join(JOIN_S)

    def _keep_open(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            heard_before = self._frame_id
            try:
                self._device.open()
                self._read_until_lost()
            except DeviceLost as error:
                self._lose(str(error))
            except Exception:
                self._fail()
            try:
                self._device.close()
            except Exception:
                self._fail()
            if self._frame_id > heard_before:
                pause_s = FIRST_PAUSE_S
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _fail(self) -> None:
        """A driver or decoder that fails in a new way must not end this eye for good."""
        if not self._is_failing:  # it may fail twice a second from now on
            LOGGER.exception("The eye camera %s failed.", self.name)
        self._is_failing = True
        self._lose("it failed unexpectedly")

    def _lose(self, reason: str) -> None:
        self.counts["lost"] += 1
        self.trouble = reason
        LOGGER.debug("%s: %s", self.name, reason)

    def _read_until_lost(self) -> None:
        self._shape = None
        bad_in_a_row, heard_s = 0, time.monotonic()
        why = "no whole image comes"
        while not self._stop.is_set():
            try:
                shot = self._device.read(READ_S)
                if shot is not None:
                    self._hand_over(shot)
                    bad_in_a_row, heard_s = 0, time.monotonic()
                    why = "no whole image comes"
            except BadPicture as error:
                self._reject(error)
                bad_in_a_row += 1
                why = f"it sends only unusable images: {error}"
            if bad_in_a_row >= MAX_BAD_IN_A_ROW or time.monotonic() - heard_s > SILENT_S:
                raise DeviceLost(why)

    def _hand_over(self, shot: Shot) -> None:
        age_s = (monotonic_ns() - shot.capture_time_ns) / NS_PER_S
        if age_s > MAX_AGE_S:
            raise BadPicture("stale", f"an image that is {age_s:.1f} s old")
        if shot.capture_time_ns <= self._last_ns:
            raise BadPicture("backwards", f"{self._last_ns - shot.capture_time_ns} ns back")
        if self._shape not in (None, shot.image.shape):
            raise BadPicture("size", f"{shot.image.shape} after {self._shape}")
        images = tuple(
            EyeImage(side, self._frame_id, shot.capture_time_ns, view.apply(shot.image), None)
            for side, view in self._views.items()
        )
        self._last_ns, self._shape = shot.capture_time_ns, shot.image.shape
        self._frame_id += 1
        self._heard_s, self.trouble, self._is_failing = time.monotonic(), "", False
        self._slot.put(images)
        self._woken.set()

    def _reject(self, error: BadPicture) -> None:
        self.counts[error.reason] += 1
        if self.counts[error.reason] == 1:  # a broken sender must not fill the log
            LOGGER.warning("The eye camera %s sent %s: rejected.", self.name, error)
