"""A real publisher with synthetic pictures, for the tests of clients in other languages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import zmq

from streaming.clock import monotonic_ns
from streaming.control import ControlServer
from streaming.publisher import Publisher
from streaming.records import ImageU8, RestoredFace, Status
from streaming.security.door import Guard
from streaming.topics import NOTIFY


def moving_picture(frame_id: int, side_px: int = 512) -> ImageU8:
    """A (S,S,3) BGR picture: smooth colours, and a bar that stands elsewhere in each frame."""
    small = np.random.default_rng(5).integers(0, 255, (12, 12, 3), np.uint8)
    image = cv2.resize(small, (side_px, side_px), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    column = frame_id * side_px // 64 % side_px
    image[:, column : column + side_px // 16] = (0, 255, 255)
    return image


def a_face(frame_id: int, crop: ImageU8, points: int = 478) -> RestoredFace:
    """A restored face of now, with `points` landmarks."""
    now_ns = monotonic_ns()
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=crop[::4, ::4],
        crop=crop,
        frame_from_crop=np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32),
        landmarks=np.arange(3 * points, dtype=np.float32).reshape(points, 3) / 8,
        gaze=np.array([[0.1, 0.2], [0.1, 0.2]], np.float32),
        openness=np.array([1, 0.5], np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


class Source:
    """Publisher and control socket on free ports, as `edge` opens them."""

    def __init__(self, control_port: int = 0, guard: Guard = None) -> None:
        self.publisher = Publisher(port=0, guard=guard)
        self.control = ControlServer(
            self.publisher.port,
            self.publisher.obey,
            self.publisher.clock,
            port=control_port,
            guard=guard,
        )
        self.frame_id = 0

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.control.port}"

    def publish(self, side_px: int = 512) -> None:
        self.frame_id += 1
        self.publisher.publish_restored(
            a_face(self.frame_id, moving_picture(self.frame_id, side_px))
        )

    def publish_unknown(self, topic: str) -> None:
        """Send a message as a later version might, below a topic of today."""
        with self.publisher._lock:
            self.publisher._socket.send_multipart([topic.encode(), b"\x80"])

    def wait_for_subscriber(self, topic: str = "jpeg.face", timeout_s: float = 20.0) -> None:
        assert not topic.startswith(NOTIFY), "words count as always wanted: this would not wait"
        end_ns = monotonic_ns() + int(timeout_s * 1e9)
        while not self.publisher.wants(topic):
            assert monotonic_ns() < end_ns, f"nobody subscribed to {topic} in {timeout_s} s"
            threading.Event().wait(0.005)

    def close(self) -> None:
        self.control.close()
        self.publisher.close()


@contextmanager
def a_source(control_port: int = 0, guard: Guard = None) -> Iterator[Source]:
    source = Source(control_port, guard)
    try:
        yield source
    finally:
        source.close()


class SilencedControl:
    """A control socket that tells its time ten times, and owes every answer after that."""

    def __init__(self, publisher_port: int) -> None:
        self.is_asked_again = threading.Event()
        self._publisher_port = publisher_port
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._socket.close(linger=0)

    def _answer(self) -> None:
        told = 0
        while not self._stopping.is_set():
            if not self._socket.poll(20):
                continue
            *route, question = self._socket.recv_multipart()
            told += question == b"t"
            if told > 10:
                self.is_asked_again.set()
                continue
            known = {b"SUB_PORT": str(self._publisher_port), b"v": "3.5.7"}
            answer = known.get(question, f"{monotonic_ns() * 1e-9:.6f}")
            self._socket.send_multipart([*route, answer.encode()])


@contextmanager
def a_silenced_control(source: Source) -> Iterator[SilencedControl]:
    """In place of the source's own."""
    control = SilencedControl(source.publisher.port)
    try:
        yield control
    finally:
        control.close()


@contextmanager
def publishing(source: Source, fps: float = 60.0, side_px: int = 512) -> Iterator[None]:
    """Publish from a thread of its own until the block ends."""
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(1 / fps):
            source.publish(side_px)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        stop.set()
        feeder.join()
