"""Where processed frames may be shown or kept inside the edge process: preview, recording, scores.

A sink is opened by the edge worker from the settings and lives in its process. `SINKS` names the
function that opens each one; it takes the whole settings and returns a `ViewSink`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

from edge.records import PipelineView
from edge.settings import SessionSettings

SINKS = {
    "preview": "edge.preview:open_preview",
    "recording": "edge.recorder:open_recorder",
    "quality": "edge.quality:open_quality",
    "osc": "edge.osc_output:open_osc",
}


class ViewSink(Protocol):
    """Takes every processed frame on the pipeline's thread."""

    def show(self, view: PipelineView) -> None:
        """Accept one frame. Must never block: hand over to a thread, keep the newest or drop.

        The arrays are shared with the pipeline and other sinks: read, never write.
        """
        ...

    def close(self) -> None:
        """Finish what was accepted (flush files, join threads). Called once, at the end."""
        ...


@runtime_checkable
class ReportingSink(Protocol):
    """A sink with results for the run's report."""

    def results(self) -> dict[str, float]:
        """Keys to add to the report JSON, such as `psnr_db`; called after `close`."""
        ...


@runtime_checkable
class FailingSink(Protocol):
    """A sink that may stop while the run goes on."""

    @property
    def trouble(self) -> str:
        """Why it stopped, in a sentence for the user; empty = it did not."""
        ...


def open_sinks(settings: SessionSettings) -> list[ViewSink]:
    """Open the sinks that the settings ask for.

    Raises:
        UserError: a sink cannot be opened (port in use, folder not writable).
    """
    edge = settings.edge
    wanted = {
        "preview": edge.preview.enabled,
        "recording": bool(edge.recording.path),
        "quality": edge.quality,
        "osc": edge.osc.enabled,
    }
    opened: list[ViewSink] = []
    try:
        for name, entry in SINKS.items():
            if wanted[name]:
                module, function = entry.split(":")
                opener = getattr(importlib.import_module(module), function)
                opened.append(cast(ViewSink, opener(settings)))
    except BaseException:
        close_sinks(opened)
        raise
    return opened


def trouble_of(sinks: Sequence[ViewSink]) -> str:
    """What the user should know of the sinks now; empty = nothing."""
    found = (sink.trouble for sink in sinks if isinstance(sink, FailingSink))
    return next(filter(None, found), "")


def close_sinks(sinks: list[ViewSink]) -> dict[str, float]:
    """Close every sink and gather the results of those that report."""
    results: dict[str, float] = {}
    for sink in sinks:
        sink.close()
        if isinstance(sink, ReportingSink):
            results.update(sink.results())
    return results
