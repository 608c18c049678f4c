"""Opened eye cameras for tests, and what is asked of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from hmd_capture.live_eyes import LiveEyes
from hmd_capture.sources.eye_view import EyeCameraSettings
from streaming.messages import EyeImage
from streaming.records import Side

WAIT_S = 10.0
MS = 1_000_000


class Eyes:
    """Opened sources that are closed when the test ends."""

    def __init__(self) -> None:
        self.opened: list[LiveEyes] = []

    def __call__(self, right: str = "", left: str = "", **options: object) -> LiveEyes:
        wanted = {
            Side.RIGHT: EyeCameraSettings(right, **options),  # type: ignore[arg-type]
            Side.LEFT: EyeCameraSettings(left, **options),  # type: ignore[arg-type]
        }
        self.opened.append(LiveEyes(wanted))
        return self.opened[-1]


@contextlib.contextmanager
def opened_eyes() -> Iterator[Eyes]:
    """Make an opener; what it opened is closed at the end."""
    opener = Eyes()
    try:
        yield opener
    finally:
        for opened in opener.opened:
            opened.close()


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def images(source: LiveEyes, count: int, side: Side | None = None) -> list[EyeImage]:
    """The next so many images, of one side if it is given."""
    found: list[EyeImage] = []
    deadline_s = time.monotonic() + WAIT_S
    while len(found) < count:
        assert time.monotonic() < deadline_s, f"only {len(found)}: {source.troubles()}"
        for image in source.take(0.1):
            assert isinstance(image, EyeImage)
            age_ns = time.monotonic_ns() - image.capture_time_ns
            assert -5 * MS <= age_ns < 2_000 * MS, f"a stale or future time: {age_ns / 1e6} ms"
            if side in (None, image.side):
                found.append(image)
    return found


def counted(source: LiveEyes, reason: str) -> int:
    return sum(counts.get(reason, 0) for counts in source.counts().values())
