"""The feeding side of simulated eye cameras: sends their images to the `hmd_capture` process."""

from __future__ import annotations

import zmq

from streaming.closing import Closing
from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.messages import EyeImage, encode

FEED_PORT = 50023  # bound by hmd_capture
QUEUED_IMAGES = 4  # both eyes of one instant, and those of the next


class EyeFeed(Closing):
    """Connects to `hmd_capture`, now or whenever it appears; use it from one thread.

    It never waits: without a receiver, or with a slow one, images are dropped.
    """

    def __init__(self, endpoint: str) -> None:
        """Connect to an endpoint such as `tcp://127.0.0.1:50023`; raises `AddressMalformed`."""
        address = normalise_endpoint(endpoint)
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, QUEUED_IMAGES)
        self._socket.setsockopt(zmq.SNDBUF, KERNEL_BUFFER_BYTES)
        # hmd_capture may start, or start again, at any time: look for it often.
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._socket.connect(address)

    def send(self, image: EyeImage) -> None:
        """Send one eye's image; raises `MessageError` if it does not keep to the schema."""
        self._socket.send_multipart(encode(image))  # PUB drops rather than waits

    def close(self) -> None:
        """Free the socket."""
        self._socket.close()
