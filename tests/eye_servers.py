"""Servers of the kinds that eye cameras are: each speaks the real protocol on a real socket."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator

import cv2
import msgpack
import numpy as np
import zmq

from streaming.records import ImageU8

BOUNDARY = b"123456789000000000000987654321"  # as the boards name it


def eye_picture(brightness: int = 90, width: int = 240, height: int = 240) -> ImageU8:
    """A grey (H,W) picture: brighter to the right, darker below, with a black pupil."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    image = np.clip(brightness + x * 60 / width - y * 30 / height, 0, 255).astype(np.uint8)
    cv2.circle(image, (width // 2, height // 2), height // 8, (5,), -1)
    return image


def eye_jpeg(brightness: int = 90, width: int = 240, height: int = 240) -> bytes:
    """The same as a JPEG file."""
    return cv2.imencode(".jpg", eye_picture(brightness, width, height))[1].tobytes()


def part(jpeg: bytes, stamp_s: float | None = None, length: int | None = None) -> bytes:
    """One image of an MJPEG answer, as the boards frame it."""
    told = len(jpeg) if length is None else length
    stamp = (
        "" if stamp_s is None else f"X-Timestamp: {int(stamp_s)}.{int(stamp_s % 1 * 1e6):06d}\r\n"
    )
    header = f"Content-Type: image/jpeg\r\nContent-Length: {told}\r\n{stamp}\r\n"
    return b"\r\n--" + BOUNDARY + b"\r\n" + header.encode() + jpeg


def chunk(body: bytes) -> bytes:
    """One chunk of the transfer encoding that the boards' web server uses."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary="
    + BOUNDARY
    + b"\r\nTransfer-Encoding: chunked\r\nX-Framerate: 60\r\n\r\n"
)


class Board:
    """An HTTP server like a board's: a script writes the answer of every connection.

    `stop` and `start` are the power plug; the port stays.
    """

    def __init__(self, script: Callable[[socket.socket, Board], None] | None = None) -> None:
        self.script = script or stream_images
        self.requests: list[bytes] = []
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        self.is_on = True
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.is_on = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join()

    def _serve(self) -> None:
        while self.is_on:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            with contextlib.suppress(OSError):
                self.requests.append(connection.recv(4096))
                self.script(connection, self)
                connection.close()


def stream_images(connection: socket.socket, board: Board) -> None:
    """What a healthy board does, at 50 fps."""
    connection.sendall(STREAM_HEAD)
    started_s = time.monotonic()
    for index in range(10_000):
        if not board.is_on:
            return
        body = part(eye_jpeg(60 + index % 60), 5.0 + time.monotonic() - started_s)
        connection.sendall(chunk(body))
        time.sleep(0.02)


class SerialBoard:
    """The board's end of a serial line: a pseudo terminal, reachable under a path that stays."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.plug_in()

    def plug_in(self) -> None:
        self._ours, theirs = os.openpty()
        tty.setraw(self._ours)
        tty.setraw(theirs)
        os.symlink(os.ttyname(theirs), self.path)
        os.close(theirs)

    def pull_out(self) -> None:
        os.unlink(self.path)
        os.close(self._ours)

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._ours, view[:1024]) :]


def serial_frame(jpeg: bytes) -> bytes:
    """An image as the boards send it over a serial line."""
    return b"\xff\xa0\xff\xa1" + struct.pack("<H", len(jpeg)) + jpeg


class PupilCapture:
    """Pupil Remote and the frame publisher, as a Capture on this machine would run them."""

    def __init__(self, clock_ahead_s: float = 0.0, sub_port: str | None = None) -> None:
        self._ahead_s = clock_ahead_s
        context = zmq.Context.instance()
        self._frames = context.socket(zmq.PUB)
        self._frames.setsockopt(zmq.LINGER, 0)
        frames_port = self._frames.bind_to_random_port("tcp://127.0.0.1")
        self._sub_port = sub_port or str(frames_port)
        self._remote = context.socket(zmq.REP)
        self._remote.setsockopt(zmq.LINGER, 0)
        self.port = self._remote.bind_to_random_port("tcp://127.0.0.1")
        self.questions: list[list[bytes]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def now_s(self) -> float:
        return time.monotonic() + self._ahead_s

    def send(
        self, eye: int, image_format: str, shape: tuple[int, int], raw: bytes, **changes: object
    ) -> None:
        """One frame (height, width), captured now."""
        topic = f"frame.eye.{eye}"
        fields = {
            "topic": topic,
            "width": shape[1],
            "height": shape[0],
            "index": 1,
            "timestamp": self.now_s(),
            "format": image_format,
            **changes,
        }
        packed = msgpack.packb(fields, use_bin_type=True)
        self._frames.send_multipart([topic.encode(), packed, raw])

    def send_parts(self, parts: list[bytes]) -> None:
        self._frames.send_multipart(parts)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._frames.close()
        self._remote.close()

    def _answer(self) -> None:
        while not self._stopping.is_set():
            if not self._remote.poll(20):
                continue
            parts = self._remote.recv_multipart()
            self.questions.append(parts)
            if parts == [b"SUB_PORT"]:
                self._remote.send_string(self._sub_port)
            elif parts == [b"t"]:
                self._remote.send_string(repr(self.now_s()))
            else:
                self._remote.send_string("Message forwarded." if len(parts) > 1 else "Unknown")


@contextlib.contextmanager
def repeating(action: Callable[[], None], period_s: float = 0.02) -> Iterator[None]:
    """Do something again and again meanwhile."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(period_s):
            action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
