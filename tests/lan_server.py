"""A server in a process of its own, for tests: publishes marked pictures behind a gate.

`python lan_server.py KEY_FOLDER` prints the publisher's and the control port, then what clients
ask of it; it ends with its standard input.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np

from streaming.clock import monotonic_ns
from streaming.control import ControlServer
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status
from streaming.security.door import open_guard

MARK = b"\xde\xad\xbe" * 16  # three channels: what the picture is made of
SIDE = 64


def marked_face(frame_id: int) -> RestoredFace:
    row = np.frombuffer(MARK, np.uint8).reshape(-1, 3)
    image = np.resize(row, (SIDE, SIDE, 3))
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns(),
        publish_time_ns=monotonic_ns(),
        image=image,
        crop=image,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


def main(folder: Path) -> None:
    ended = threading.Event()
    with open_guard("0.0.0.0", folder) as guard, Publisher(0, "0.0.0.0", guard=guard) as publisher:
        publisher.obey(Notification("frame_publishing.set_format", {"format": "bgr"}))

        def hear(word: Notification) -> None:
            sys.stdout.write(f"heard {word.subject}\n")
            sys.stdout.flush()

        clock = publisher.clock
        with ControlServer(publisher.port, hear, clock, 0, "0.0.0.0", guard) as control:
            sys.stdout.write(f"{publisher.port} {control.port}\n")
            sys.stdout.flush()
            threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
            frame_id = 0
            while not ended.wait(0.01):
                frame_id += 1
                publisher.publish_restored(marked_face(frame_id))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
