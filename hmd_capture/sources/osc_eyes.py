"""Gaze and openness from a headset that gives no eye images, over OSC (UDP)."""

from __future__ import annotations

import errno
import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence

from hmd_capture.sources.osc_packet import BadPacket, read_packet
from hmd_capture.sources.osc_words import BadWord, EyeWords, read_word
from streaming.clock import monotonic_ns
from streaming.endpoints import LOOPBACK, AddressInUse
from streaming.errors import UserError
from streaming.records import EyeParameters, Side
from streaming.slot import Latest

LOGGER = logging.getLogger(__name__)
POLL_S = 0.1  # how soon `close` is noticed
MAX_DATAGRAM_BYTES = 4096
MAX_BATCH = 256  # datagrams drained before the newest state is handed over
FORGET_S = 1.0  # silent for so long, a sender may come back in another state
PAUSE_S = 0.2  # after the socket failed


class OscEyes:
    """Listens on one loopback port for both eyes.

    Each parameter comes in a message of its own, often only when it changed; what was told of an
    eye holds until nothing has been told of it for a second.
    """

    hint = "check that the program that sends them runs and sends here"

    def __init__(self, target: str, sides: Sequence[Side], woken: threading.Event) -> None:
        """`target` is a port. Raises `UserError` for others, `AddressInUse` when it is taken.

        `sides` are the eyes wanted, `woken` is set when there is something to take.
        """
        self.name = f"osc:{target}"
        self.sides = tuple(sides)
        self.counts: Counter[str] = Counter()
        self.trouble = ""
        self.was_heard = False
        self._woken = woken
        self._slots: dict[Side, Latest[EyeParameters]] = {side: Latest() for side in sides}
        self._words = {side: EyeWords() for side in sides}
        self._told_s = {side: 0.0 for side in sides}
        self._heard_s = time.monotonic()
        self._stop = threading.Event()
        self._socket = _bind(target)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, name=self.name, daemon=True)
        self._thread.start()

    @property
    def age_s(self) -> float:
        """Seconds since something was said of an eye, or since the start."""
        return time.monotonic() - self._heard_s

    def take(self) -> tuple[EyeParameters, ...]:
        """Return the newest unseen state of each eye, at once."""
        taken = (slot.take(0) for slot in self._slots.values())
        return tuple(state for state in taken if state is not None)

    def close(self) -> None:
        """Stop listening and free the port."""
        self._stop.set()
        self._thread.join()

    def _listen(self) -> None:
        with self._socket:
            while not self._stop.is_set():
                try:
                    datagrams = self._receive()
                except OSError as error:
                    self.trouble = (error.strerror or "the port failed").lower()
                    self.counts["lost"] += 1
                    self._stop.wait(PAUSE_S)
                    continue
                if datagrams:
                    self._tell(datagrams, monotonic_ns())

    def _receive(self) -> list[bytes]:
        """Everything that waits, after waiting a moment for the first."""
        datagrams: list[bytes] = []
        self._socket.settimeout(POLL_S)
        try:
            while len(datagrams) < MAX_BATCH:
                datagrams.append(self._socket.recv(MAX_DATAGRAM_BYTES + 1))
                self._socket.settimeout(0)
        except (TimeoutError, BlockingIOError):
            return datagrams
        return datagrams

    def _tell(self, datagrams: list[bytes], time_ns: int) -> None:
        told: set[Side] = set()
        for datagram in datagrams:
            told |= self._read(datagram)
        for side in told:
            words = self._words[side]
            state = EyeParameters(side, time_ns, words.openness, words.gaze)
            self._slots[side].put(state)
        if told:
            self._heard_s, self.was_heard, self.trouble = time.monotonic(), True, ""
            self._woken.set()

    def _read(self, datagram: bytes) -> set[Side]:
        told: set[Side] = set()
        try:
            if len(datagram) > MAX_DATAGRAM_BYTES:
                raise BadPacket("a datagram that is too large")
            for address, arguments in read_packet(datagram):
                told |= self._take_word(address, arguments)
        except BadWord as error:
            self._reject("word", error)
        except BadPacket as error:
            self._reject("malformed", error)
        return told

    def _take_word(self, address: str, arguments: Sequence[object]) -> set[Side]:
        changes = read_word(address, arguments)
        if not changes:
            self.counts["other"] += 1
        told = set()
        for side, change in changes.items():
            if side not in self._words:
                continue
            now_s = time.monotonic()
            if now_s - self._told_s[side] > FORGET_S:
                self._words[side] = EyeWords()
            self._words[side] = change(self._words[side])
            self._told_s[side] = now_s
            told.add(side)
        return told

    def _reject(self, reason: str, error: Exception) -> None:
        self.counts[reason] += 1
        if self.counts[reason] == 1:  # a broken sender must not fill the log
            LOGGER.warning("%s: rejected a message about eyes: %s", self.name, error)


def _bind(target: str) -> socket.socket:
    match = re.fullmatch(r"(?:127\.0\.0\.1:|localhost:)?(\d{1,5})", target)
    if match is None or int(match[1]) > 65535:
        raise UserError(
            f"{target!r} is no port for OSC.",
            "Write osc:9015, and let the program that knows the eyes send to 127.0.0.1 on that "
            "port; only this machine is listened to.",
        )
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listener.bind((LOOPBACK, int(match[1])))
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise AddressInUse(
            f"UDP port {match[1]} is already in use or reserved.",
            "VRChat itself listens on 9000: choose another one, and set it in the sender too.",
        ) from error
    return listener
