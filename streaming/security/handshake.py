"""The client's side of connecting: keys, what is wrong when nothing comes, and trying again.

ZeroMQ is silent about refused connections and does not repeat one that was refused for its key.
"""

from __future__ import annotations

import errno
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

from streaming.errors import UserError
from streaming.security.keys import ClientKeys

RETRY_S = 1.0  # after a refusal that ZeroMQ takes for final
# A machine that loses its power or its network says nothing, and a subscriber, which never sends,
# would wait on the dead connection for ever. So ZeroMQ asks, and connects again without an answer.
ASK_ALIVE_MS = 2000
LOST_MS = 6000  # longer than a process stands still that is only stopped for a moment
CERTAIN = 2  # a server that ends while we connect looks like a wrong key, but only once
_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


class Refused(UserError):
    """The server is there but does not let us in, or is not the one whose key we hold."""


class Handshake:
    """Connects one socket and watches how it goes; call `tend` often from the socket's thread."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: str, keys: ClientKeys | None = None
    ) -> None:
        """Connect to a normalised `endpoint`, encrypted with `keys` when given.

        A connection that went dead without a word is noticed in 8 s and made again.
        """
        self.trouble: Refused | None = None  # may be read by any thread
        self.is_connected = False
        self.losses = 0  # connections that ended: nothing asked on them will be answered
        self._socket = socket
        self._endpoint = endpoint
        self._keys = keys
        self._broken = 0  # handshakes in a row that ended without a reason
        self._retry_at_s: float | None = None
        if keys is not None:
            keys.apply(socket)
        socket.setsockopt(zmq.HEARTBEAT_IVL, ASK_ALIVE_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, LOST_MS)
        self._events = socket.get_monitor_socket(_WATCHED)
        socket.connect(endpoint)

    def tend(self) -> None:
        """Take in what happened since the last call, and connect again when that is due."""
        while self._events.poll(0):
            event = recv_monitor_message(self._events)
            self._note(event["event"], event["value"])
        if self._retry_at_s is not None and time.monotonic() >= self._retry_at_s:
            self._retry_at_s = None
            self.connect(self._endpoint)

    def connect(self, endpoint: str) -> None:
        """Give up the present connection, if any, and connect to `endpoint`."""
        try:
            self._socket.disconnect(self._endpoint)
        except zmq.ZMQError as error:
            if error.errno != errno.ENOENT:  # ZeroMQ has given it up already
                raise
        self._endpoint = endpoint
        self.is_connected = False
        self._socket.connect(endpoint)

    def close(self) -> None:
        """Stop watching; the socket is its owner's to close."""
        self._socket.disable_monitor()
        self._events.close()

    def _note(self, event: int, value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.trouble, self.is_connected, self._broken = None, True, 0
        elif event == zmq.EVENT_DISCONNECTED:
            self.is_connected = False
            self.losses += 1
        elif event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            self._broken += 1
            if self._broken >= CERTAIN:
                self.trouble = self._broken_off()
        else:
            is_key = event == zmq.EVENT_HANDSHAKE_FAILED_AUTH
            self.trouble = self._not_allowed() if is_key else self._mismatch(value)
            self._retry_at_s = time.monotonic() + RETRY_S

    def _not_allowed(self) -> Refused:
        public = self._keys.public if self._keys else ""
        return Refused(
            f"The server at {self._endpoint} does not allow this client's key {public}.",
            "On the server run `unvisor keys allow FILE.pub`, or `unvisor keys new NAME` for a "
            "new key file.",
        )

    def _mismatch(self, value: int) -> Refused:
        if value != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return self._broken_off()
        if self._keys is None:
            return Refused(
                f"The server at {self._endpoint} is encrypted and asks for a key.",
                "Add --key FILE with the file that `unvisor keys new NAME` made there.",
            )
        return Refused(
            f"The server at {self._endpoint} is not encrypted, but a key was given.",
            "Check the address; if it is right and you trust the network, leave out --key.",
        )

    def _broken_off(self) -> Refused:
        if self._keys is None:
            return Refused(
                f"The server at {self._endpoint} breaks the connection off: it is encrypted and "
                "asks for a key, or it is not unvisor.",
                "Add --key FILE with the file that `unvisor keys new NAME` made there, or check "
                "the address.",
            )
        return Refused(
            f"The server at {self._endpoint} breaks the connection off: it does not have the "
            f"secret of the server key {self._keys.server}, so this is the wrong key or another "
            "machine.",
            "Compare --server-key with what `unvisor keys list` shows on the server.",
        )
