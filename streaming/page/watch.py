"""The live page fed by a subscription, on the client's machine."""

from __future__ import annotations

from streaming.messages import FrameMessage, MessageError, Notification
from streaming.page.live import LivePage, Shot, pane_jpeg
from streaming.publisher import PAUSED, RESUMED
from streaming.subscriber import Arrival

BELIEVABLE_NS = 60_000_000_000  # as `watch` has it: beyond this two unlike clocks are compared


class WatchPage(LivePage):
    """Shows what arrives: the restored picture with status, age, rate and drops."""

    def take(self, arrival: Arrival) -> None:
        """Show this frame, or say that the publisher paused or resumed. Returns at once."""
        message = arrival.message
        if isinstance(message, Notification):
            if message.subject in (PAUSED, RESUMED):
                self.is_paused = message.subject == PAUSED
        elif isinstance(message, FrameMessage):
            self.is_paused = False
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
