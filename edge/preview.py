"""The live page on loopback: camera, eye cameras, restored face and truth, with age and rate.

The pipeline only leaves its newest view here. Pictures are encoded in the threads of those who
watch, so a preview that nobody looks at costs nothing and a slow browser delays nobody.
"""

from __future__ import annotations

import json
import logging
import socketserver
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from edge.own_client import notify_session
from edge.panes import pack, panes_of
from edge.records import PipelineView
from edge.settings import SessionSettings
from streaming.control import PAUSE, RESUME
from streaming.errors import UserError

PAGE = Path(__file__).with_name("preview.html")
WAIT_S = 1.0  # how long a request for the next view is held open
RATE_FRAMES = 50  # the rate is an average and the age a median over these
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
LOOPBACK_NAMES = (*LOOPBACK_HOSTS, "::1")  # what a browser or an ssh tunnel may call us
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shown:
    """A view with what only its arrival tells."""

    sequence: int  # counts views, from 1
    view: PipelineView
    fps: float
    age_ms: float
    drops: int  # frame ids missing since the start


class Preview:
    """A `ViewSink` that serves the newest view as a web page.

    `on_pause`, when set, is called from a server thread with True (stop sending) or False.
    """

    def __init__(
        self,
        port: int = 8750,
        host: str = "127.0.0.1",
        on_pause: Callable[[bool], None] | None = None,
    ) -> None:
        """Start serving at once; port 0 takes any free one.

        Raises UserError when the port is taken or `host` is not a loopback address.
        """
        if host not in LOOPBACK_HOSTS:
            raise UserError(
                f"The preview shows a face, so it is served on this machine only, not on {host}.",
                f"From another machine use `ssh -L {port}:127.0.0.1:{port} THIS-MACHINE`.",
            )
        self.on_pause = on_pause
        self.is_closed = False
        self._arrived = threading.Condition()
        self._newest: _Shown | None = None
        self._times_s: deque[float] = deque(maxlen=RATE_FRAMES)
        self._ages_ns: deque[int] = deque(maxlen=RATE_FRAMES)
        self._encoding = threading.Lock()
        self._encoded: tuple[int, bytes] = (0, b"")
        self._server = _serve(self, host, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        log.info("preview at %s", self.url)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def show(self, view: PipelineView) -> None:
        """Make `view` the newest; returns at once."""
        with self._arrived:
            last = self._newest
            self._times_s.append(time.monotonic())
            self._ages_ns.append(view.restored.publish_time_ns - view.restored.capture_time_ns)
            gap = view.camera.frame_id - last.view.camera.frame_id - 1 if last else 0
            self._newest = _Shown(
                sequence=last.sequence + 1 if last else 1,
                view=view,
                fps=_rate(self._times_s),
                age_ms=statistics.median(self._ages_ns) / 1e6,
                drops=(last.drops if last else 0) + max(gap, 0),
            )
            self._arrived.notify_all()

    def close(self) -> None:
        """Stop serving and free the port."""
        with self._arrived:
            self.is_closed = (
                True  # connections that a browser keeps open end with their next request
            )
            self._arrived.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def next_message(self, after: int) -> bytes:
        """Wait up to a second for a view newer than number `after`; return it as a message.

        A message is a 4-byte big-endian length, that much JSON, then one JPEG per pane the JSON
        lists; it lists none when nothing newer came.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self.is_closed or self._is_newer_than(after), WAIT_S)
            shown = self._newest
        status = [each.value for each in shown.view.restored.status] if shown else []
        facts: dict[str, Any] = {"status": status, "can_pause": self.on_pause is not None}
        if shown is None or not self._is_newer_than(after):
            facts["sequence"] = after
            return pack(facts, {})
        with self._encoding:  # several watchers share one encoding
            if self._encoded[0] != shown.sequence:
                self._encoded = (shown.sequence, pack(facts | _facts(shown), panes_of(shown.view)))
            return self._encoded[1]

    def _is_newer_than(self, after: int) -> bool:
        return self._newest is not None and self._newest.sequence > after

    def pause(self, paused: bool) -> None:
        """Pass a watcher's wish on; whether it was granted shows in the next view's status."""
        if self.on_pause is not None:
            self.on_pause(paused)


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


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server's own class: it asks the name service about our address, which may hang.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a browser that holds a connection must not delay the exit
    preview: Preview

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("preview connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 15  # s; a client that neither asks nor reads gives its thread back
    server: _Server

    def do_GET(self) -> None:
        """Serve the page and its views."""
        address = urlsplit(self.path)
        if self.server.preview.is_closed:
            self.close_connection = True
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the preview has ended\n")
        elif not self._is_local():
            self._answer(HTTPStatus.FORBIDDEN, b"open this page as http://127.0.0.1\n")
        elif address.path == "/":
            self._answer(HTTPStatus.OK, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif address.path == "/view":
            after = parse_qs(address.query).get("after", ["0"])[0]
            message = self.server.preview.next_message(int(after) if after.isdecimal() else 0)
            self._answer(HTTPStatus.OK, message, "application/octet-stream")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"no such page\n")

    def do_POST(self) -> None:
        """Take `{"paused": true|false}` from our own page only."""
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() and int(length) < 1000 else b""
        is_ours = self.headers.get("Origin") == f"http://{self.headers.get('Host')}"
        wish = _paused_wish(body)
        if not (self._is_local() and is_ours):
            self._answer(HTTPStatus.FORBIDDEN, b"only the preview page may do this\n")
        elif self.path != "/pause" or wish is None:
            self._answer(HTTPStatus.BAD_REQUEST, b'expected {"paused": true or false}\n')
        else:
            self.server.preview.pause(wish)
            self._answer(HTTPStatus.OK, b"ok\n")

    def _is_local(self) -> bool:
        """False for a foreign name that was made to resolve to loopback (DNS rebinding)."""
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in LOOPBACK_NAMES
        except ValueError:
            return False

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def _serve(preview: Preview, host: str, port: int) -> _Server:
    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise UserError(
            f"The preview cannot listen on port {port}: {error.strerror}.",
            "Stop the other program, or choose a port with `--preview-port` (0 = any free one).",
        ) from error
    server.preview = preview
    return server


def _rate(times_s: deque[float]) -> float:
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s > 0 else 0.0


def _facts(shown: _Shown) -> dict[str, Any]:
    restored = shown.view.restored
    return {
        "sequence": shown.sequence,
        "frame_id": restored.frame_id,
        "age_ms": shown.age_ms,
        "fps": shown.fps,
        "drops": shown.drops,
        "filler": restored.filler,
        "landmarks": restored.landmark_source,
    }


def _paused_wish(body: bytes) -> bool | None:
    try:
        wish = json.loads(body)["paused"]
    except (ValueError, KeyError, TypeError):
        return None
    return wish if isinstance(wish, bool) else None
