"""The pipeline's live page: camera, eye cameras, restored face and truth, with age and rate."""

from __future__ import annotations

import logging

from edge.own_client import notify_session
from edge.panes import jpegs_of
from edge.records import PipelineView
from edge.settings import SessionSettings
from streaming.control import PAUSE, RESUME
from streaming.errors import UserError
from streaming.page.live import LivePage, Shot

log = logging.getLogger(__name__)


class Preview(LivePage):
    """A `ViewSink` that serves the newest view as a web page."""

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
                panes=lambda: jpegs_of(view),
            )
        )


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
