"""One client of the stream benchmark, a process of its own: `python -m streaming.bench.client …`.

Prints `ready` when the first picture was shown and, when standard input ends, one JSON list with
`[capture_time_ns, arrival_time_ns, shown_time_ns]` of every picture.
"""

from __future__ import annotations

import json
import sys
import threading

import cv2

from streaming.clock import monotonic_ns
from streaming.messages import FrameMessage
from streaming.subscriber import Subscriber

POLL_S = 0.1


def main(arguments: list[str]) -> None:
    """Show, that is take and decode, the pictures of TOPIC at ENDPOINT until told to end."""
    endpoint, topic = arguments
    cv2.setNumThreads(1)
    ended = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(ended,), daemon=True).start()
    times: list[tuple[int, int, int]] = []
    with Subscriber(endpoint, [topic]) as subscriber:
        while not ended.is_set():
            arrival = subscriber.take(topic, POLL_S)
            if arrival is None or not isinstance(arrival.message, FrameMessage):
                continue
            arrival.message.image()
            capture_ns = arrival.message.capture_time_ns
            times.append((capture_ns, arrival.arrival_time_ns, monotonic_ns()))
            if len(times) == 1:
                _tell("ready")
    _tell(json.dumps(times))


def _wait_for_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
