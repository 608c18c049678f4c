"""MJPEG over HTTP, as EyeTrackVR's and OpenIris' boards send it."""

from __future__ import annotations

import socket
from collections import Counter
from urllib.parse import SplitResult, urlsplit

from hmd_capture.sources.device import DeviceLost, Shot
from hmd_capture.sources.multipart import HttpStream, Part
from hmd_capture.sources.one_way_clock import OneWayClock
from hmd_capture.sources.pictures import decode_jpeg
from streaming.clock import monotonic_ns
from streaming.errors import UserError

CONNECT_S = 0.5  # then tried again: a board that just came back is not missed for long
RECEIVE_BYTES = 64 * 1024


class MjpegHttp:
    """One board. It serves a single viewer, so only one connection is ever made."""

    def __init__(self, url: str) -> None:
        """Remember where; raises `UserError` unless it is an `http://HOST[:PORT][/PATH]`."""
        self.counts: Counter[str] = Counter()
        self._host, self._port, self._request = _request(url)
        self._socket: socket.socket | None = None
        self._stream = HttpStream(self.counts)
        self._clock = OneWayClock()

    def open(self) -> None:
        """Connect and ask for the stream; raises `DeviceLost`."""
        self._stream, self._clock = HttpStream(self.counts), OneWayClock()
        try:
            self._socket = socket.create_connection((self._host, self._port), CONNECT_S)
            self._socket.sendall(self._request)
        except OSError as error:
            raise DeviceLost(_why(error)) from error
        except UnicodeError as error:  # of 192..168.1.20, which no name server is asked for
            raise DeviceLost(f"{self._host} is no address") from error

    def read(self, timeout_s: float) -> Shot | None:
        """Return the newest image that has come; raises `DeviceLost` or `BadPicture`."""
        assert self._socket is not None
        self._socket.settimeout(timeout_s)
        try:
            received = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError:
            return None
        except OSError as error:
            raise DeviceLost(_why(error)) from error
        if not received:
            raise DeviceLost("it closed the connection")
        parts = self._stream.feed(received, monotonic_ns())
        self.counts["skipped"] += max(0, len(parts) - 1)
        return self._shot(parts[-1]) if parts else None

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _shot(self, part: Part) -> Shot:
        image = decode_jpeg(part.jpeg)  # first: a damaged part's stamp is not believed either
        if part.device_ns is None:
            return Shot(part.arrival_ns, image)
        return Shot(self._clock.capture_ns(part.device_ns, part.arrival_ns), image)


def _request(url: str) -> tuple[str, int, bytes]:
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    is_plain = url.isascii() and url.isprintable() and " " not in url and parts.username is None
    if parts.scheme != "http" or not parts.hostname or not port or not is_plain:
        raise UserError(
            f"{url!r} is no address of an eye camera.", "Write it as http://HOST:PORT/PATH."
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = (f"GET {target} HTTP/1.1", f"Host: {_host_header(parts)}", "Connection: close", "", "")
    return parts.hostname, port, "\r\n".join(lines).encode("ascii")


def _host_header(parts: SplitResult) -> str:
    return parts.netloc


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return (error.strerror or str(error)).lower()
