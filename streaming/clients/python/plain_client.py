"""Reads the restored face without unvisor installed: `pip install pyzmq msgpack` is enough.

Copy this file anywhere: `python plain_client.py [HOST] [CONTROL_PORT] [--seconds N] [--save F.jpg]`
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress

import msgpack
import zmq


def ask(context: zmq.Context[zmq.Socket[bytes]], address: str, question: str) -> str:
    """Ask the control socket; `SUB_PORT` is where the frames are, `t` the publisher's time in s."""
    with context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        socket.send_string(question)
        if not socket.poll(2000):
            raise SystemExit(f"Nobody answers at {address}. Is `unvisor run` running?")
        return socket.recv_string()


def newest(socket: zmq.Socket[bytes]) -> list[bytes]:
    """Read all that waits and return the last: what waits is old, and never gets younger."""
    message = socket.recv_multipart()
    while socket.poll(0):
        message = socket.recv_multipart()
    return message


def main() -> None:
    """Run until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("control_port", nargs="?", type=int, default=50020)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--save", help="write the last picture here (.jpg)")
    chosen = parser.parse_args()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    control = f"tcp://{chosen.host}:{chosen.control_port}"

    asked_s = time.monotonic()
    clock_ahead_s = float(ask(context, control, "t")) - (asked_s + time.monotonic()) / 2
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 2)  # before connecting: queues only ever hold old frames
    socket.setsockopt(zmq.RCVBUF, 64 * 1024)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 2000)  # ms; a server that lost its power says no goodbye
    socket.setsockopt(zmq.SUBSCRIBE, b"frame.world")
    socket.connect(f"tcp://{chosen.host}:{ask(context, control, 'SUB_PORT')}")

    frames, pixels = 0, b""
    until_s = told_s = time.monotonic()
    until_s += chosen.seconds
    with suppress(KeyboardInterrupt):
        while time.monotonic() < until_s:
            if not socket.poll(200):
                continue
            _topic, packed, pixels = newest(socket)
            frame = msgpack.unpackb(packed)
            frames += 1
            if time.monotonic() - told_s > 1:
                told_s = time.monotonic()
                age_ms = (told_s + clock_ahead_s - frame["timestamp"]) * 1000
                size = f"{frame['width']}×{frame['height']} {frame['format']}"
                print(f"frame {frame['index']}, {size}, {age_ms:.0f} ms old, {frame['status']}")
    print(f"{frames} frames")
    if chosen.save and frames:  # the bytes are a JPEG file, unless another format was asked for
        with open(chosen.save, "wb") as file:
            file.write(pixels)
    socket.close(0)
    context.term()


if __name__ == "__main__":
    main()
