"""The gate: encrypts listening sockets and lets only allowed client keys connect (CURVE, ZAP).

ZeroMQ asks about a key once, when a client connects. So the gate also watches the folder of keys:
when one is taken away, `revocations` counts up and each socket cuts its connections (`door.Door`).
"""

from __future__ import annotations

import itertools
import logging
import os
import threading

import zmq
from zmq.utils import z85

from streaming.closing import Closing
from streaming.security.keys import KeyFolder
from streaming.security.rate_limit import tellings

LOGGER = logging.getLogger(__name__)
WATCH_MS = 200  # how soon a change in the folder of keys is noticed
HANDSHAKE_MS = 3000  # a connection that has not said who it is by then is closed
ZAP_ENDPOINT = "inproc://zeromq.zap.01"
ZAP_VERSION = b"1.0"
ZAP_PARTS = 7  # version, request, domain, address, identity, mechanism, key
OWN_NAME = "this-machine"  # whoever holds the server's secret key
_Stamp = frozenset[tuple[str, int, int, int]]


class Gate(Closing):
    """Admits the clients of one folder of keys; safe between threads."""

    def __init__(self, folder: KeyFolder) -> None:
        """Read the keys; raises UserError without a usable server key."""
        self._folder = folder
        self._server = folder.server()
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._names: dict[str, str] = {}  # by public key
        self.revocations = 0
        self.refresh()
        if len(self._names) == 1:
            LOGGER.warning("No client is allowed yet: make a key with `unvisor keys new NAME`.")
        self._keeper = _keeper_of(zmq.Context.instance())
        self._domain = self._keeper.register(self)

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Encrypt what will connect to `socket`, which is not bound yet, and ask for keys."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._server.secret.encode())
        socket.setsockopt(zmq.ZAP_DOMAIN, self._domain)
        # Without this everybody would be let in should the thread that checks keys be gone.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)

    def admitted(self, public: str) -> str | None:
        """Name of the client with this public key (Z85), None if it is not allowed now."""
        self.refresh()
        with self._lock:
            return self._names.get(public)

    def refresh(self) -> None:
        """Read the folder again if it changed."""
        with self._lock:
            stamp = self._read_stamp()
            if stamp is not None and stamp == self._stamp:
                return
            self._stamp = stamp
            names = {} if stamp is None else self._folder.allowed()
            fresh = {key: name for name, key in names.items()} | {self._server.public: OWN_NAME}
            gone = set(self._names) - set(fresh)
            for key in gone:
                LOGGER.info("The key of %s was revoked; its connections are cut.", self._names[key])
            self._names = fresh
            self.revocations += bool(gone)

    def close(self) -> None:
        """Let nobody in any more."""
        self._keeper.forget(self._domain)

    def _read_stamp(self) -> _Stamp | None:
        """Return what changes with every change in the folder; None when it cannot be read."""
        try:
            with os.scandir(self._folder.allowed_path) as entries:
                facts = [(entry.name, entry.stat()) for entry in entries]
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            LOGGER.warning("The allowed keys cannot be read: %s.", error.strerror)
            return None
        return frozenset((name, s.st_ino, s.st_mtime_ns, s.st_size) for name, s in facts)


class _Keeper:
    """Answers ZeroMQ's questions about keys, for all gates of one context, on its own thread.

    It lives as long as the context: ZeroMQ frees the address of such a thread only later, and
    there can be just one.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._gates: dict[bytes, Gate] = {}
        self._numbers = itertools.count(1)
        self._tellings = tellings()  # a client tries again every second
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)
        threading.Thread(target=self._serve, name="keys", daemon=True).start()

    def register(self, gate: Gate) -> bytes:
        domain = b"unvisor.%d" % next(self._numbers)
        self._gates[domain] = gate
        return domain

    def forget(self, domain: bytes) -> None:
        self._gates.pop(domain, None)

    def _serve(self) -> None:
        try:
            while True:
                if self._socket.poll(WATCH_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
                for gate in list(self._gates.values()):
                    gate.refresh()
        except zmq.ContextTerminated:
            self._socket.close()

    def _answer(self, parts: list[bytes]) -> list[bytes]:
        request = parts[1] if len(parts) > 1 else b""
        name = self._admitted(parts)
        if name is None:
            return [ZAP_VERSION, request, b"400", b"This key is not allowed", b"", b""]
        return [ZAP_VERSION, request, b"200", b"OK", name.encode(), b""]

    def _admitted(self, parts: list[bytes]) -> str | None:
        """Name of the client that a request is about; None for all that is not as agreed."""
        if len(parts) != ZAP_PARTS or (parts[0], parts[5]) != (ZAP_VERSION, b"CURVE"):
            return None
        gate = self._gates.get(parts[2])
        if gate is None or len(parts[6]) != 32:
            return None
        name = gate.admitted(z85.encode(parts[6]).decode())
        if name is None and self._tellings.allows("refusal"):
            LOGGER.warning("A client at %s was refused: its key is not allowed.", _text(parts[3]))
        return name


_keepers: dict[zmq.Context[zmq.Socket[bytes]], _Keeper] = {}
_keepers_lock = threading.Lock()


def _keeper_of(context: zmq.Context[zmq.Socket[bytes]]) -> _Keeper:
    with _keepers_lock:
        for ended in [known for known in _keepers if known.closed]:
            del _keepers[ended]
        if context not in _keepers:
            _keepers[context] = _Keeper(context)
        return _keepers[context]


def _text(part: bytes) -> str:
    return part[:64].decode(errors="replace")
