"""Asking for a new eye calibration from inside VR, by EyeTrackVR's avatar parameters over OSC."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

from hmd_capture.sources.osc_packet import BadPacket, read_packet
from streaming.endpoints import LOOPBACK
from streaming.errors import UserError

log = logging.getLogger(__name__)

RECALIBRATE = "/avatar/parameters/etvr_recalibrate"
RECENTRE = "/avatar/parameters/etvr_recenter"
POLL_S = 0.2  # how soon `close` is noticed
MAX_DATAGRAM_BYTES = 4096
Act = Callable[[], None]


class OscRequests:
    """Listens on a loopback port; a parameter that becomes true asks once.

    Menus of avatars send a parameter as long as a button is held: only the change counts.
    """

    def __init__(self, port: int, recalibrate: Act, recentre: Act) -> None:
        """Bind UDP `port` (0 = any free one); the actions are called on a thread of its own.

        Raises:
            UserError: the port is taken.
        """
        self._actions = {RECALIBRATE: recalibrate, RECENTRE: recentre}
        self._is_on = dict.fromkeys(self._actions, False)
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise UserError(
                f"OSC requests cannot be received on UDP port {port}: it is in use or reserved.",
                "Set another one as request_port in [edge.osc], and in the sender.",
            ) from error
        self._socket.settimeout(POLL_S)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, name="osc requests", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and free the port."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read(self._socket.recv(MAX_DATAGRAM_BYTES))
            except TimeoutError:
                continue
            except OSError as error:
                log.warning("OSC requests: %s", error.strerror)
                self._stopping.wait(POLL_S)

    def _read(self, datagram: bytes) -> None:
        try:
            for address, arguments in read_packet(datagram):
                if address in self._actions and arguments:
                    self._take(address, arguments[0])
        except BadPacket:
            log.debug("a datagram that is no OSC was left out")

    def _take(self, address: str, value: object) -> None:
        is_on = value is True or (isinstance(value, int | float) and value > 0.5)
        was_on, self._is_on[address] = self._is_on[address], is_on
        if is_on and not was_on:
            self._actions[address]()
