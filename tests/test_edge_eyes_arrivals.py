"""What `hmd_capture` sends, as it reaches the fusion and the log."""

from __future__ import annotations

import time

import pytest

from edge.eyes.arrivals import TOPICS, EyeArrivals
from streaming.messages import Notification
from streaming.publisher import Publisher
from streaming.subscriber import Subscriber

WAIT_S = 20.0
LOST = "left eye camera uvc:0 is silent since {} s (it cannot be opened); check it" + 300 * "."


def test_a_lost_camera_is_logged_once_and_once_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The trouble's seconds count on, and it is told anew every second."""
    with (
        Publisher(port=0) as publisher,
        Subscriber(f"tcp://127.0.0.1:{publisher.port}", TOPICS) as subscriber,
        EyeArrivals(subscriber, lambda _: None) as arrivals,
    ):
        deadline_s = time.monotonic() + WAIT_S
        for detail in [LOST.format(2), LOST.format(3), LOST.format(3.5), "", LOST.format(2)]:
            while arrivals.note != detail[:300]:
                assert time.monotonic() < deadline_s
                publisher.publish(Notification("unvisor.eye_cameras", {"detail": detail}))
                time.sleep(0.01)
    said = [record.getMessage()[:40] for record in caplog.records]
    lost = f"eye cameras: {LOST}"[:40]
    assert said == [lost, "eye cameras: all are back", lost]
