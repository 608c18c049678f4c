"""The relay: on the client's machine, decrypts the stream and publishes it on loopback.

For clients that know no keys. The bytes of every message pass unchanged, so capture times do too;
questions to the control socket are passed on, but for those about ports.
"""

from __future__ import annotations

import threading

from streaming.closing import Closing
from streaming.endpoints import LOOPBACK
from streaming.relay.pictures import PictureRelay
from streaming.relay.questions import QuestionRelay
from streaming.security.handshake import Refused
from streaming.security.keys import ClientKeys
from streaming.topics import CONTROL_PORT, PUBLISHER_PORT


class Relay(Closing):
    """Joins one server to two loopback ports, now or whenever the server appears."""

    def __init__(
        self,
        host: str,
        keys: ClientKeys | None,
        server_port: int = CONTROL_PORT,
        control_port: int = CONTROL_PORT,
        publisher_port: int = PUBLISHER_PORT,
    ) -> None:
        """Bind both loopback ports and start; raises `AddressInUse` or `AddressMalformed`.

        `host` and `server_port` are the server's control address; it tells the rest.
        """
        self._stopping = threading.Event()
        self.pictures = PictureRelay(host, keys, publisher_port, self._stopping)
        try:
            self.questions = QuestionRelay(
                f"{host}:{server_port}",
                keys,
                control_port,
                self.pictures,
                self._stopping,
            )
        except Exception:
            self._stopping.set()
            self.pictures.join()
            raise

    @property
    def publisher_port(self) -> int:
        """Loopback port of the pictures."""
        return self.pictures.port

    @property
    def control_port(self) -> int:
        """Loopback port of the control socket."""
        return self.questions.port

    @property
    def trouble(self) -> Refused | None:
        """Why the server does not let us in at present; None when it does or is not there."""
        return self.questions.trouble or self.pictures.trouble

    @property
    def address(self) -> str:
        """Where clients on this machine find the control socket."""
        return f"{LOOPBACK}:{self.control_port}"

    def close(self) -> None:
        """Stop and free the ports."""
        self._stopping.set()
        self.questions.join()
        self.pictures.join()
