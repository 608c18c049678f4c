"""`unvisor bridge`: the stream for browsers, which speak WebSocket and not ZeroMQ.

A viewer asks for each picture when it has drawn the last one and gets the newest, so a slow page
drops pictures and never falls behind. Loopback only, and only pages of allowed origins.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs, urlsplit

import typer
from rich.console import Console

from streaming.bridge.feeds import WORDS, Feeds, View
from streaming.endpoints import LOOPBACK, AddressInUse, normalise_endpoint
from streaming.errors import UserError
from streaming.security.keys import ClientKeys, load_client
from streaming.topics import FACE_STATE, FRAME_EYES, FRAME_FACE, FRAME_WORLD, format_topic
from streaming.watch import DEFAULT_ENDPOINT, KEY_HELP

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import Server, ServerConnection
    from websockets.typing import Origin

BRIDGE_PORT = 8760
FOLDER = Path(__file__).parents[1] / "clients" / "browser"
PAGES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/unvisor.js": ("unvisor.js", "text/javascript"),
}
STREAM = "/stream"
TOPICS = tuple(format_topic("jpeg", topic) for topic in (FRAME_FACE, FRAME_WORLD, *FRAME_EYES))
PARTING_S = 1.0  # for a viewer to take what waits for it and the word of parting
ANSWER_S = 1.0  # a viewer hears from us at least this often
MAX_VIEWERS = 32
MAX_REQUEST_BYTES = 64  # viewers only ever say "next"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Bridge:
    """Serves the example page and the stream until closed."""

    def __init__(
        self,
        endpoint: str,
        port: int = BRIDGE_PORT,
        origins: tuple[str, ...] = (),
        max_viewers: int = MAX_VIEWERS,
        keys: ClientKeys | None = None,
    ) -> None:
        """Serve at once (`port` 0: any free one); `origins` may connect beside our own page.

        `keys` for a publisher on another machine.

        Raises `AddressInUse`, `AddressMalformed`, or `UserError` when websockets is missing.
        """
        _check_websockets()
        from websockets.typing import Origin

        self._feeds = Feeds(normalise_endpoint(endpoint), keys)
        self._stopping = threading.Event()
        self._max_viewers = max_viewers
        self._viewers: set[ServerConnection] = set()
        self._door = threading.Lock()
        allowed = [Origin(origin) for origin in origins]
        self._server = self._listen(port, allowed)
        self.port: int = self._server.socket.getsockname()[1]
        allowed.extend(Origin(f"http://{name}:{self.port}") for name in (LOOPBACK, "localhost"))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _listen(self, port: int, allowed: list[Origin]) -> Server:
        from websockets.sync.server import serve

        quiet = logging.getLogger("streaming.bridge.websockets")
        quiet.setLevel(logging.CRITICAL)  # it logs a trace for every port scan
        try:
            return serve(
                self._show,
                LOOPBACK,
                port,
                origins=allowed,
                compression=None,  # JPEGs do not get smaller
                max_size=MAX_REQUEST_BYTES,
                process_request=self._answer,
                server_header=None,
                logger=quiet,
            )
        except OSError as error:
            raise AddressInUse(
                f"Port {port} is already in use or reserved.", "Choose another with --port."
            ) from error

    @property
    def url(self) -> str:
        """Address of the example page."""
        return f"http://{LOOPBACK}:{self.port}/"

    def close(self) -> None:
        """Hang up on every viewer and free the port."""
        self._stopping.set()
        parting = threading.Timer(PARTING_S, self._cut)
        parting.start()
        self._server.shutdown()
        with self._door:
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.close()
        parting.cancel()
        self._thread.join()

    def _cut(self) -> None:
        """End what is left: a viewer that reads nothing holds the word of parting up for ever."""
        with self._door:
            viewers = list(self._viewers)
        for viewer in viewers:
            with suppress(OSError):  # it left meanwhile
                viewer.socket.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer what is no stream: pages, and refusals. None lets the handshake go on."""
        path = urlsplit(request.path).path
        if path in PAGES:
            return _page(connection, *PAGES[path])
        if path != STREAM or _topic_of(request) not in TOPICS:
            return connection.respond(HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        with self._door:
            is_full = len(self._viewers) >= self._max_viewers
        if is_full or self._stopping.is_set():
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "Too many viewers.\n")
        return None

    def _show(self, viewer: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        assert viewer.request is not None
        with self._door:
            self._viewers.add(viewer)
        try:
            with self._feeds.watch((_topic_of(viewer.request), FACE_STATE, WORDS)) as feeds:
                view = View(self._feeds, *feeds)
                for word in viewer:
                    if word != "next":
                        viewer.close(1003, "Only 'next' is understood.")
                    viewer.send(view.next_message(ANSWER_S))
        except ConnectionClosed:
            pass  # viewers leave as they like
        finally:
            with self._door:
                self._viewers.discard(viewer)


def bridge(
    endpoint: Annotated[str, typer.Argument(help="Publisher to forward.")] = DEFAULT_ENDPOINT,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any.")
    ] = BRIDGE_PORT,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Another web page that may connect, such as http://localhost:5173."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help=KEY_HELP)] = None,
) -> None:
    """Forward pictures and face states to web pages on this machine, until Ctrl-C."""
    origins = tuple(_checked_origin(text) for text in allow_origin or ())
    opened = Bridge(endpoint, port, origins, keys=load_client(key) if key else None)
    Console().print(f"Open {opened.url} (Ctrl-C ends).", highlight=False)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        opened.close()


def _check_websockets() -> None:
    try:
        import websockets.sync.server  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "`unvisor bridge` needs websockets, which is not installed.",
            'Install it with `pip install -e ".[bridge]"`.',
        ) from error


def _checked_origin(text: str) -> str:
    if re.fullmatch(r"https?://[\w.\-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", text) is None:
        raise UserError(
            f"{text!r} is no origin.", "Write it as http://HOST:PORT, without a path or a slash."
        )
    return text


def _topic_of(request: Request) -> str:
    return parse_qs(urlsplit(request.path).query).get("topic", [TOPICS[0]])[-1]


def _page(connection: ServerConnection, name: str, kind: str) -> Response:
    text = (FOLDER / name).read_text(encoding="utf-8")
    response = connection.respond(HTTPStatus.OK, text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = f"{kind}; charset=utf-8"
    response.headers.update(SECURITY_HEADERS)
    return response
