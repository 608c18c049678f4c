"""Reads the restored face and tells once a second how it arrives: the blocking client.

`python -m streaming.clients.python.show_stream [ADDRESS] [--seconds N] [--save F]`
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path

import cv2

from streaming.ages import AgeStatistics
from streaming.messages import FrameMessage
from streaming.subscriber import Subscriber
from streaming.topics import FRAME_WORLD


def main() -> None:
    """Run until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="127.0.0.1:50021")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--save", type=Path, help="write the last picture here (.png, .jpg)")
    chosen = parser.parse_args()
    until_s = time.monotonic() + chosen.seconds
    told_s = time.monotonic()
    seen = AgeStatistics()
    newest: FrameMessage | None = None
    with Subscriber(chosen.address, [FRAME_WORLD]) as client, suppress(KeyboardInterrupt):
        while time.monotonic() < until_s:
            arrival = client.take(FRAME_WORLD, timeout_s=0.2)
            if arrival is not None and isinstance(arrival.message, FrameMessage):
                newest = arrival.message  # newest.image() is the picture, (H,W,3) BGR uint8
                seen.add(newest.index, newest.capture_time_ns, arrival.arrival_time_ns)
            if newest is not None and time.monotonic() - told_s > 1:
                told_s = time.monotonic()
                words = " ".join(status.value for status in newest.status)
                print(f"{seen.fps:.1f} fps, age {seen.age_ms(50)} ms, {seen.drops} drops, {words}")
    if newest is None:
        raise SystemExit(f"No frame came from {chosen.address}. Is `unvisor run` running?")
    print(f"{seen.frames} frames, {newest.width}×{newest.height}")
    if chosen.save:
        cv2.imwrite(str(chosen.save), newest.image())


if __name__ == "__main__":
    main()
