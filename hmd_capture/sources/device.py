"""What every kind of eye camera looks like to the thread that keeps it open."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from streaming.records import ImageU8

MIN_SIDE_PX, MAX_SIDE_PX = 32, 2048  # of an eye image; the boards send 240×240


class DeviceLost(Exception):
    """The device cannot be read now; the text says why, in a few plain words."""


class BadPicture(Exception):
    """One image is not usable; the next one may be.

    `reason` is a short name under which such images are counted.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """`detail` says what was wrong with this image."""
        self.reason = reason
        super().__init__(detail)


@dataclass(frozen=True)
class Shot:
    """One image of a device."""

    capture_time_ns: int  # this machine's monotonic clock
    image: ImageU8  # (H,W) uint8 grey, as the sensor lies


class Device(Protocol):
    """One eye camera. All methods are called from one thread; `open` follows every `close`."""

    counts: Counter[str]  # what was rejected or skipped, by reason

    def open(self) -> None:
        """Connect; raises `DeviceLost`."""
        ...

    def read(self, timeout_s: float) -> Shot | None:
        """Return the newest unseen image; None when none came within the time.

        Raises `DeviceLost` when the connection is gone, `BadPicture` for one unusable image.
        """
        ...

    def close(self) -> None:
        """Let go of the device; may be called when it is not open."""
        ...
