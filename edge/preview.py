"""The pipeline's live page: camera, eye cameras, restored face and truth, with age and rate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edge.identity.question import PROFILE_PANE, profile_jpeg
from edge.own_client import notify_session
from edge.panes import jpegs_of
from edge.profile import SessionProfile
from edge.records import PipelineView
from edge.settings import SessionSettings
from edge.sinks import ViewSink
from streaming.control import PAUSE, RESUME
from streaming.errors import UserError
from streaming.page.live import LivePage, Shot
from streaming.publisher import is_synthesised
from streaming.records import Status

log = logging.getLogger(__name__)


class Preview(LivePage):
    """A `ViewSink` that serves the newest view as a web page."""

    profile: bytes | None = None  # JPEG of whose face is restored; set before the first view
    is_sending_paused: Callable[[], bool] | None = None  # None = as the newest view says

    def show(self, view: PipelineView) -> None:
        """Make `view` the newest; returns at once."""
        restored = view.restored
        self.put(
            Shot(
                frame_id=view.camera.frame_id,
                age_ns=restored.publish_time_ns - restored.capture_time_ns,
                status=tuple(each.value for each in restored.status),
                filler=restored.filler,
                landmarks=restored.landmark_source,
                synthesised=is_synthesised(restored),
                panes=lambda: self._jpegs(view),
            )
        )

    def status_now(self, names: Sequence[str]) -> list[str]:
        """See `LivePage`; the newest view may be from before a pause, the camera lost since."""
        if self.is_sending_paused is None:
            return super().status_now(names)
        others = [name for name in names if name != Status.PAUSED.value]
        return [*others, Status.PAUSED.value] if self.is_sending_paused() else others

    def _jpegs(self, view: PipelineView) -> dict[str, bytes]:
        panes = jpegs_of(view)
        return panes if self.profile is None else {**panes, PROFILE_PANE: self.profile}


def introduce(
    sinks: Sequence[ViewSink], profile: SessionProfile, is_paused: Callable[[], bool]
) -> None:
    """Let the preview among the sinks show the picture of the profile, and ask whose it is.

    `is_paused` tells it whether sending is paused, also while no view comes.
    """
    for sink in sinks:
        if isinstance(sink, Preview):
            sink.profile, sink.is_sending_paused = profile_jpeg(profile), is_paused


def open_preview(settings: SessionSettings) -> Preview:
    """Open the preview that the settings ask for (a sink opener); its pause key is connected."""

    def ask(paused: bool) -> None:
        # Through the control socket, as any other client: one way to pause, and one to see it.
        try:
            notify_session(settings, PAUSE if paused else RESUME)
        except UserError as error:
            log.warning("the pause key had no effect: %s", error)

    on_pause = ask if settings.streaming.control_port else None  # 0: any port, unknown here
    return Preview(settings.edge.preview.port, settings.edge.preview.host, on_pause)
