"""Eye images of a running Pupil Capture (or of anything that speaks its network conventions)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import zmq

from hmd_capture.sources.device import MAX_SIDE_PX, BadPicture, DeviceLost, Shot
from hmd_capture.sources.pictures import decode_jpeg, grey
from streaming.clock import NS_PER_S, monotonic_ns
from streaming.clock_follower import ClockFollower
from streaming.control_client import ControlClient, NoAnswer
from streaming.endpoints import KERNEL_BUFFER_BYTES, normalise_endpoint
from streaming.records import ImageU8, Side
from streaming.topics import FRAME_EYES
from streaming.wire import FieldReader, MessageError, unpack_fields

ANSWER_S = 0.5
MAX_MESSAGE_BYTES = 8 << 20
MAX_BATCH = 64  # messages drained before the newest is decoded
FORMATS = ("jpeg", "gray", "bgr", "yuv")
WAITING_FRAMES = 4
GRACE_NS = 10_000_000  # for what the clocks' offset does not know of itself


class PupilNetwork:
    """Subscribes to one eye; the stamps come from Capture's clock, which is followed."""

    def __init__(self, remote: str, side: Side) -> None:
        """`remote` is Pupil Remote's address, such as tcp://127.0.0.1:50020.

        Raises `AddressMalformed`.
        """
        self.counts: Counter[str] = Counter()
        self._remote = normalise_endpoint(remote)
        self._topic = FRAME_EYES[side.eye_index]
        self._socket: zmq.Socket[bytes] | None = None
        self._follower: ClockFollower | None = None

    def open(self) -> None:
        """Ask where the frames are, subscribe, and follow the clock; raises `DeviceLost`."""
        client = ControlClient(self._remote, ANSWER_S)
        try:
            answer = client.ask("SUB_PORT")
            # Asking for a format is also what starts the publishing in Capture.
            client.notify("frame_publishing.set_format", {"format": "jpeg"})
        except NoAnswer as error:
            raise DeviceLost("Pupil Remote does not answer") from error
        if not (answer.isdecimal() and len(answer) < 6 and 0 < int(answer) <= 65535):
            raise DeviceLost(f"it names the port {answer[:20]!r}, which is none")
        self._follower = ClockFollower(self._remote)
        self._socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.RCVHWM, WAITING_FRAMES)
        self._socket.setsockopt(zmq.RCVBUF, KERNEL_BUFFER_BYTES)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.SUBSCRIBE, self._topic.encode())
        self._socket.connect(f"{self._remote.rpartition(':')[0]}:{answer}")

    def read(self, timeout_s: float) -> Shot | None:
        """Return the newest image that has come; raises `BadPicture`."""
        assert self._socket is not None
        if not self._socket.poll(round(timeout_s * 1000)):
            return None
        newest: list[bytes] = []
        for count in range(MAX_BATCH):
            try:
                newest = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self.counts["skipped"] += count > 0
        return self._shot(newest, monotonic_ns()) if newest else None

    def close(self) -> None:
        """Unsubscribe."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _shot(self, parts: list[bytes], arrival_ns: int) -> Shot | None:
        assert self._follower is not None
        try:
            seconds, image = _decoded(self._topic, parts)
        except MessageError as error:
            raise BadPicture("malformed", f"a malformed message ({error})") from error
        offset = self._follower.offset()
        if offset is None:
            self.counts["clock unknown"] += 1
            return None
        capture_ns = offset.ours_from_sender(round(seconds * NS_PER_S))
        if capture_ns - arrival_ns > offset.uncertainty_ns + GRACE_NS:
            raise BadPicture("future", f"a stamp {(capture_ns - arrival_ns) / 1e9:g} s ahead")
        return Shot(min(capture_ns, arrival_ns), image)


def _decoded(topic: str, parts: list[bytes]) -> tuple[float, ImageU8]:
    """Capture's time in s, and the grey image; raises `MessageError` or `BadPicture`."""
    if len(parts) != 3 or parts[0] != topic.encode():
        raise MessageError(f"{len(parts)} parts, of which the first is {parts[0][:40]!r}")
    fields = FieldReader(topic, unpack_fields(topic, parts[1]))
    seconds = fields.number("timestamp", -1e9, 1e12)
    width = fields.integer("width", 1, MAX_SIDE_PX)
    height = fields.integer("height", 1, MAX_SIDE_PX)
    image = _pixels(fields.text("format", FORMATS), (height, width), parts[2])
    if image.shape != (height, width):
        raise BadPicture("size", f"{image.shape} instead of {(height, width)}")
    return seconds, image


def _pixels(image_format: str, shape: tuple[int, int], raw: bytes) -> ImageU8:
    if image_format == "jpeg":
        return decode_jpeg(raw)
    area = shape[0] * shape[1]
    # Planar YUV begins with the brightness of every pixel; how the colours follow does not matter.
    is_whole = {
        "gray": len(raw) == area,
        "bgr": len(raw) == 3 * area,
        "yuv": area < len(raw) <= 3 * area,
    }[image_format]
    if not is_whole:
        raise BadPicture("size", f"{len(raw)} bytes for {shape[1]}×{shape[0]} {image_format}")
    if image_format == "bgr":
        return grey(np.frombuffer(raw, np.uint8).reshape(*shape, 3))
    return grey(np.frombuffer(raw[:area], np.uint8).reshape(shape))
