"""The live page fed by a subscription, on the client's machine."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.heard_pause import HeardPause
from streaming.messages import FrameMessage, MessageError
from streaming.page.live import LivePage, Shot, pane_jpeg
from streaming.records import Status
from streaming.subscriber import Arrival

BELIEVABLE_NS = 60_000_000_000  # as `watch` has it: beyond this two unlike clocks are compared


class WatchPage(LivePage):
    """Shows what arrives: the restored picture with status, age, rate and drops."""

    def __init__(self, port: int) -> None:
        """See `LivePage`."""
        self._pause = HeardPause()
        super().__init__(port)

    def status_now(self, names: Sequence[str]) -> list[str]:
        """See `LivePage`; no picture comes in a pause, so the newest one is from before it."""
        return [Status.PAUSED.value] if self._pause.is_on else list(names)

    def take(self, arrival: Arrival) -> None:
        """Show this frame, or say that the publisher paused or resumed. Returns at once."""
        message = arrival.message
        self._pause.hear(message)
        if isinstance(message, FrameMessage):
            self.put(
                Shot(
                    frame_id=message.index,
                    age_ns=arrival.age_ns if 0 <= arrival.age_ns < BELIEVABLE_NS else None,
                    status=tuple(status.value for status in message.status),
                    filler=message.filler,
                    landmarks=message.landmark_source,
                    synthesised=message.synthesised,
                    panes=lambda: _panes(message),
                )
            )

    def check(self) -> None:
        """Nothing can go wrong that the user would have to know of."""


def _panes(message: FrameMessage) -> dict[str, bytes]:
    """A JPEG goes through as it came; the browser scales it, and skips it when it is broken."""
    if message.format == "jpeg":
        return {"restored": message.pixels}
    try:
        return {"restored": pane_jpeg(message.image())}
    except MessageError:
        return {}
