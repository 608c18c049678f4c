"""A publisher and a control socket as a session opens them, in a process of their own.

Run as a script it publishes until standard input ends; the first line printed is the control port.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from edge.remote import open_control, open_publisher
from edge.settings import StreamingSettings
from streaming.clock import monotonic_ns
from streaming.records import RestoredFace, Status

FPS = 60.0
SIZE = (72, 96)


def a_face(frame_id: int) -> RestoredFace:
    now_ns = monotonic_ns()
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[:, : SIZE[1] // 2] = (200, 40, 20)  # the left half is blue
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=now_ns,
        publish_time_ns=now_ns,
        image=image,
        crop=np.full((32, 32, 3), 160, np.uint8),
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


def serve(stop: threading.Event) -> None:
    settings = StreamingSettings(control_port=0, publisher_port=0)
    eyes = (np.full((24, 24), 10, np.uint8), np.full((24, 24), 200, np.uint8))
    with open_publisher(settings) as publisher:
        publisher.clock.set_s(1000.0)  # nobody's clock agrees by chance
        with open_control(settings, publisher, stop.set) as control:
            sys.stdout.write(f"{control.port}\n")
            sys.stdout.flush()
            frame_id = 0
            while not stop.is_set():
                publisher.publish_restored(a_face(frame_id), eyes, (5, 5))
                frame_id += 1
                time.sleep(1 / FPS)


if __name__ == "__main__":
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    serve(ended)
