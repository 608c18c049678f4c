"""Hands the simulated eye cameras' images to `hmd_capture`, which treats them as its cameras'."""

from __future__ import annotations

from types import TracebackType

import zmq

from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.messages import EyeImage, encode

QUEUED = 4  # two instants of both eyes; `hmd_capture` wants the newest


class EyeFeed:
    """Connects to `hmd_capture`'s feed socket; never waits for it. Use as a context manager."""

    def __init__(self, endpoint: str) -> None:
        """Connect, now or whenever it appears; raises `AddressMalformed`."""
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, QUEUED)
        self._socket.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        self._socket.connect(normalise_endpoint(endpoint))

    def send(self, image: EyeImage) -> None:
        """Send one image, or drop it when nobody takes it."""
        self._socket.send_multipart(encode(image))

    def __enter__(self) -> EyeFeed:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._socket.close()
