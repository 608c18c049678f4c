"""Doors: where a socket listens. Loopback is open; beyond it a gate, or the user's own word."""

from __future__ import annotations

import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import zmq

from streaming.endpoints import AddressNotAllowed, bind_address, is_loopback
from streaming.errors import UserError
from streaming.security.gate import Gate
from streaming.security.keys import KeyFolder

LOGGER = logging.getLogger(__name__)
RETRY_S = 1.0  # a try takes up to half a second, on the thread that sends the pictures


class InsecureLan:
    """The user typed `--insecure-lan`: listen beyond loopback without keys or encryption."""


Guard = Gate | InsecureLan | None  # None: loopback only


class Door:
    """The address at which one socket listens, behind a guard; use it from the socket's thread."""

    def __init__(self, socket: zmq.Socket[bytes], host: str, port: int, guard: Guard) -> None:
        """Bind; `port` 0 takes a free one.

        Raises `AddressNotAllowed` beyond loopback without a guard, `AddressInUse` or
        `AddressMalformed`.
        """
        self._socket = socket
        self._gate = guard if isinstance(guard, Gate) else None
        if guard is None and not is_loopback(host):
            raise refusal(host)
        if self._gate is not None:
            self._gate.secure(socket)
        self._seen = 0 if self._gate is None else self._gate.revocations
        self.port = bind_address(socket, host, port)
        self._host, self._is_open = host, True
        self._retry_s = -math.inf
        self._endpoint: str = socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def cut_revoked(self) -> None:
        """Cut all connections if a key was revoked since; who is still allowed connects again.

        Keys are only checked when a client connects, and ZeroMQ cannot close one connection.
        """
        if self._gate is None or (self._is_open and self._seen == self._gate.revocations):
            return
        if self._is_open:
            self._seen = self._gate.revocations
            self._socket.unbind(self._endpoint)  # closes what came in by it, too
            self._is_open = False
        if time.monotonic() < self._retry_s:
            return
        try:
            bind_address(self._socket, self._host, self.port)
            self._is_open = True
        except (UserError, zmq.ZMQError) as error:  # the port is taken, or the address is gone
            if math.isinf(self._retry_s):
                LOGGER.error("Cannot listen again after a key was revoked: %s", error)
            self._retry_s = time.monotonic() + RETRY_S
        else:
            self._retry_s = -math.inf


def open_guard(
    host: str, folder: Path | None = None, insecure_lan: bool = False
) -> AbstractContextManager[Guard]:
    """Guard for listening on `host`: nothing on loopback, else the gate of a folder of keys.

    Raises `AddressNotAllowed` when there are no keys, with the command that makes them, and
    UserError when they cannot be used.
    """
    if is_loopback(host):
        return nullcontext(None)
    if insecure_lan:
        LOGGER.warning("Listening on %s without encryption: anyone there can watch.", host)
        return nullcontext(InsecureLan())
    keys = KeyFolder(folder)
    if not keys.has_server:
        raise refusal(host)
    return Gate(keys)


def reachable(host: str) -> str:
    """Address at which this machine itself reaches a socket that listens on `host`."""
    own = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(host, host)
    return f"[{own}]" if ":" in own and not own.startswith("[") else own


def refusal(host: str) -> UserError:
    """Say why nothing listens on `host`, and what to type."""
    return AddressNotAllowed(
        f"Refusing to listen on {host}: without keys the stream is not encrypted there, "
        "and anyone could watch.",
        "Run `unvisor keys new NAME`, carry NAME.key to the client's machine and start again; "
        "or stay on 127.0.0.1; or type --insecure-lan to send the face unprotected.",
    )
