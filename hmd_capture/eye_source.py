"""Where eye images come from, and how observations are read off them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, Protocol

import zmq

from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.messages import EyeImage, MessageError, decode
from streaming.records import EyeObservation, EyeParameters, Side
from streaming.security.door import Door, Guard

LOGGER = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 4 << 20  # an eye image is some 10 kB; this keeps a stranger from filling memory
EyesBy = Literal["network", "oracle"]  # who reads eye images
MAX_BATCH = 64  # images drained at once before the newest are handed over


class EyeSource(Protocol):
    """One or two eye cameras."""

    def take(self, timeout_s: float) -> Sequence[EyeImage | EyeParameters]:
        """Return the newest unseen of each eye, waiting for the first; empty on timeout."""
        ...

    def troubles(self) -> Sequence[str]:
        """Return one plain sentence for every camera that is lost now."""
        ...

    def close(self) -> None:
        """Free the cameras."""
        ...


class EyeReader(Protocol):
    """Reads lids, iris and pupil off one eye image."""

    @property
    def note(self) -> str:
        """What the user should know about the reading now; empty = nothing."""
        ...

    def read(self, image: EyeImage) -> EyeObservation | None:
        """Return what the image shows, None if it shows no eye."""
        ...


class SimulatedEyeSource:
    """Binds a socket to which a simulated headset feeds both eyes' images."""

    def __init__(self, endpoint: str, guard: Guard = None) -> None:
        """Bind, e.g. `tcp://127.0.0.1:50023`; beyond loopback with a `guard` only.

        Raises `AddressMalformed`, `AddressInUse` or `AddressNotAllowed`.
        """
        self.received = self.drops = self.rejected = 0  # images; rejected: malformed messages
        host, _, port = normalise_endpoint(endpoint).removeprefix("tcp://").rpartition(":")
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 4)
        self._socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")  # all: what is not an eye image is counted
        try:
            self._door = Door(self._socket, host, int(port), guard)
        except Exception:
            self._socket.close()
            raise

    def take(self, timeout_s: float) -> Sequence[EyeImage]:
        """Return the newest unseen image of each eye, waiting for the first; empty on timeout."""
        self._door.cut_revoked()
        if not self._socket.poll(round(timeout_s * 1000)):
            return ()
        newest: dict[Side, EyeImage] = {}
        for _ in range(MAX_BATCH):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            image = self._decoded(parts)
            if image is not None:
                self.received += 1
                self.drops += image.side in newest
                newest[image.side] = image
        return tuple(newest.values())

    def troubles(self) -> Sequence[str]:
        """Return nothing: a simulated headset that is silent has ended or been paused."""
        return ()

    def close(self) -> None:
        """Free the port."""
        self._socket.close()

    def _decoded(self, parts: list[bytes]) -> EyeImage | None:
        try:
            message = decode(parts)
            if not isinstance(message, EyeImage):
                raise MessageError(f"{type(message).__name__} is no eye image.")
        except MessageError as error:
            self.rejected += 1
            if self.rejected == 1:  # a broken sender must not fill the log
                LOGGER.warning("Ignoring malformed eye images. First: %s", error)
            return None
        return message


class OracleEyeReader:
    """Takes the simulator's word for what a simulated image shows."""

    note = ""

    def __init__(self, lost: frozenset[Side] = frozenset()) -> None:
        """Eyes in `lost` are never reported, as if their camera were covered or unplugged."""
        self._lost = lost

    def read(self, image: EyeImage) -> EyeObservation | None:
        """Return the labels that came with the image; None without labels or for a lost eye."""
        return None if image.side in self._lost else image.truth
