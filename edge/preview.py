"""The pipeline's live page: camera, eye cameras, restored face and truth, with age and rate."""

from __future__ import annotations

import logging
from collections.abc import Sequence

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

log = logging.getLogger(__name__)


class Preview(LivePage):
    """A `ViewSink` that serves the newest view as a web page."""

    profile: bytes | None = None  # JPEG of whose face is restored; set before the first view

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

    def _jpegs(self, view: PipelineView) -> dict[str, bytes]:
        panes = jpegs_of(view)
        return panes if self.profile is None else {**panes, PROFILE_PANE: self.profile}


def introduce(sinks: Sequence[ViewSink], profile: SessionProfile) -> None:
    """Let the preview among the sinks show the picture of the profile, and ask whose it is."""
    for sink in sinks:
        if isinstance(sink, Preview):
            sink.profile = profile_jpeg(profile)


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
