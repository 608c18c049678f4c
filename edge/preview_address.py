"""Where a session's live page will be, known before the process that serves it has started."""

from __future__ import annotations

import socket

from edge.settings import SessionSettings, override
from streaming.endpoints import LOOPBACK


def with_preview_port(settings: SessionSettings) -> SessionSettings:
    """The settings with a free port for the page where they leave it open (port 0)."""
    preview = settings.edge.preview
    if not preview.enabled or preview.port:
        return settings
    return override(settings, {"edge.preview.port": _free_port()})


def preview_url(settings: SessionSettings) -> str:
    """The page's address; empty = there is none, or its port is still open."""
    preview = settings.edge.preview
    return f"http://{LOOPBACK}:{preview.port}/" if preview.enabled and preview.port else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
