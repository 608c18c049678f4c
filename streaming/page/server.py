"""The web server of the live page: this machine's browsers only, our own page only."""

from __future__ import annotations

import json
import logging
import secrets
import socketserver
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from streaming.errors import UserError

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


class PageContent(Protocol):
    """What is served; called from one thread per browser."""

    @property
    def is_closed(self) -> bool:
        """Whether the page has ended: connections that are still open are told so."""
        ...

    def page(self) -> bytes:
        """The page itself, HTML."""
        ...

    def next_message(self, after: int, run: str = "") -> bytes:
        """The next message, after waiting for it for a moment."""
        ...

    def act(self, path: str, wish: Mapping[str, Any]) -> None:
        """Do what a watcher of our page asked for; raises ValueError when it means nothing."""
        ...

    @property
    def token(self) -> str:
        """What the page's address must carry as `?token=`; "" = anybody on this machine may."""
        ...


class PageServer:
    """Serves one page from threads of its own until closed."""

    def __init__(
        self, host: str, port: int, content: PageContent, option: str = "--preview-port"
    ) -> None:
        """Start at once; `port` 0 takes any free one. Raises UserError when it is taken.

        `option` is how the user of the page's program names another port.
        """
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise UserError(
                f"The page cannot listen on port {port}: {error.strerror}.",
                f"Stop the other program, or choose another port with `{option}`.",
            ) from error
        self._server.content = content
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the page."""
        token = self._server.content.token
        query = f"?token={token}" if token else ""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{query}"

    def close(self) -> None:
        """Stop taking connections and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server's own class: it asks the name service about our address, which may hang.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False  # a browser that holds a connection must not delay the exit
    content: PageContent

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("preview connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 15  # s; a client that neither asks nor reads gives its thread back
    server: _Server

    def do_GET(self) -> None:
        """Serve the page and its views."""
        address = urlsplit(self.path)
        if self.server.content.is_closed:
            self.close_connection = True
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the preview has ended\n")
        elif not self._is_local():
            self._answer(HTTPStatus.FORBIDDEN, b"open this page as http://127.0.0.1\n")
        elif not self._has_token():
            self._answer(HTTPStatus.FORBIDDEN, b"open the address that the program names\n")
        elif address.path == "/":
            self._answer(HTTPStatus.OK, self.server.content.page(), "text/html; charset=utf-8")
        elif address.path == "/view":
            query = parse_qs(address.query)
            after, run = query.get("after", ["0"])[0], query.get("run", [""])[0]
            number = int(after) if after.isdecimal() and len(after) < 20 else 0
            message = self.server.content.next_message(number, run)
            self._answer(HTTPStatus.OK, message, "application/octet-stream")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"no such page\n")

    def do_POST(self) -> None:
        """Take a wish, a JSON object, from our own page only."""
        length = self.headers.get("Content-Length", "")
        body = self.rfile.read(int(length)) if length.isdecimal() and int(length) < 1000 else b""
        is_ours = self.headers.get("Origin") == f"http://{self.headers.get('Host')}"
        if not (self._is_local() and is_ours and self._has_token()):
            return self._answer(HTTPStatus.FORBIDDEN, b"only the preview page may do this\n")
        try:
            wish = json.loads(body)
            if not isinstance(wish, dict):
                raise ValueError("expected a JSON object")
            self.server.content.act(urlsplit(self.path).path, wish)
        except ValueError as error:
            said = "expected a JSON object" if isinstance(error, UnicodeError) else str(error)
            return self._answer(HTTPStatus.BAD_REQUEST, f"{said}\n".encode())
        self._answer(HTTPStatus.OK, b"ok\n")

    def _has_token(self) -> bool:
        wanted = self.server.content.token
        given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        return not wanted or secrets.compare_digest(given.encode(), wanted.encode())

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
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # What was left unread of a body would be taken for the next request, and a foreign
            # page could write one there that says it comes from ours.
            self.send_header("Connection", "close")  # which ends it here, too
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)
