"""Clients that exist, unmodified or step by step as they behave, against a server process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgpack
import numpy as np
import pupil_labs.pupil_core_network_client as pcnc
import pytest
import zmq

WAIT_S = 20.0
UNITY_TIMEOUT_MS = 1000  # after which that client's socket is stuck for good
ROOT = Path(__file__).parent.parent


@pytest.fixture
def control_port() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "pupil_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        assert server.poll() is None, "the server died meanwhile"
        server.communicate("", timeout=WAIT_S)
    assert server.returncode == 0


class StockClient:
    """One REQ socket as all of Pupil's clients have it, and a SUB socket where SUB_PORT says."""

    def __init__(self, control_port: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._req = self._context.socket(zmq.REQ)
        self._req.connect(f"tcp://127.0.0.1:{control_port}")
        self.sub = self._context.socket(zmq.SUB)

    def ask(self, *parts: bytes) -> str:
        self._req.send_multipart(parts)
        assert self._req.poll(UNITY_TIMEOUT_MS), f"{parts[0]!r} was not answered in time"
        return self._req.recv().decode()

    def notify(self, subject: str, **fields: object) -> str:
        packed = msgpack.packb({"subject": subject, **fields}, use_bin_type=True)
        return self.ask(b"notify." + subject.encode(), packed)

    def connect(self, topic: str) -> None:
        self.sub.connect(f"tcp://127.0.0.1:{self.ask(b'SUB_PORT')}")
        self.sub.subscribe(topic)

    def receive(self) -> tuple[str, dict[str, object], list[bytes]]:
        assert self.sub.poll(round(WAIT_S * 1000)), "nothing arrives"
        topic, packed, *raw = self.sub.recv_multipart()
        return topic.decode(), msgpack.unpackb(packed), raw

    def receive_where(self, topic: str, image_format: str) -> tuple[dict[str, object], bytes]:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            name, fields, raw = self.receive()
            if (name, fields.get("format")) == (topic, image_format):
                return fields, raw[0]
        raise AssertionError(f"no {topic} in {image_format}")

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def client(control_port: int) -> Iterator[StockClient]:
    opened = StockClient(control_port)
    yield opened
    opened.close()


@pytest.fixture
def other(control_port: int) -> Iterator[StockClient]:
    opened = StockClient(control_port)
    yield opened
    opened.close()


def test_client_from_the_package_index_connects_syncs_its_clock_and_receives_images(
    control_port: int,
) -> None:
    device = pcnc.Device(port=control_port)
    try:
        assert device.is_connected
        assert device.request_version() == "3.5.7"
        statistics = device.clock_offset_statistics
        told_s, here_s = device.request_current_pupil_time(), device.client_clock()
        assert statistics.mean_offset == pytest.approx(told_s - here_s, abs=0.1)
        assert abs(statistics.mean_offset) > 0.1  # the server's clock was set to another time
        answer = device.send_notification(
            {"subject": "frame_publishing.set_format", "format": "bgr"}
        )
        assert answer == "Message forwarded."
        with device.subscribe("frame.world") as subscription:
            deadline = time.monotonic() + WAIT_S
            message = subscription.recv_new_message(timeout_ms=round(WAIT_S * 1000))
            while message.payload["format"] != "bgr":
                assert time.monotonic() < deadline
                message = subscription.recv_new_message(timeout_ms=round(WAIT_S * 1000))
        shown_s = device.current_pupil_time()
    finally:
        device.disconnect()
    payload = message.payload
    image = np.frombuffer(message.raw_data[0], np.uint8)
    image = image.reshape(payload["height"], payload["width"], 3)
    assert message.topic == payload["topic"] == "frame.world"
    assert image.shape == (72, 96, 3)
    assert tuple(image[5, 5]) == (200, 40, 20)
    assert isinstance(payload["timestamp"], float)
    assert -0.1 < shown_s - payload["timestamp"] < WAIT_S  # on the clock that was synced


def test_background_subscription_of_that_client_receives_jpeg_when_nobody_asks_otherwise(
    control_port: int,
) -> None:
    device = pcnc.Device(port=control_port)
    with device.subscribe_in_background("frame.face", buffer_size=1) as subscription:
        message = subscription.recv_new_message(timeout_ms=round(WAIT_S * 1000))
    device.disconnect()
    assert message.payload["format"] == "jpeg"
    face = cv2.imdecode(np.frombuffer(message.raw_data[0], np.uint8), cv2.IMREAD_COLOR)
    assert face.shape == (32, 32, 3)


def test_recording_and_calibration_are_answered_by_that_client_too(control_port: int) -> None:
    device = pcnc.Device(port=control_port)
    assert "without a recorder" in device.request_recording_start("trial")
    assert "without a recorder" in device.request_recording_stop()
    assert "calibrate-reference" in device.request_calibration_start()
    assert "calibrate-reference" in device.request_calibration_stop()
    assert "rejected" in device.send_annotation("blink")
    device.disconnect()


def test_unity_client_connects_step_by_step_and_gets_jpeg_of_both_eyes(
    client: StockClient,
) -> None:
    """The steps of hmd-eyes; each has to be answered within a second."""
    assert int(client.ask(b"SUB_PORT")) > 0
    assert int(client.ask(b"PUB_PORT")) > 0
    assert client.ask(b"v") == "3.5.7"
    for eye in (1, 0):
        subject = f"eye_process.should_start.{eye}"
        assert client.notify(subject, eye_id=eye, delay=0.1) == "Message forwarded."
    assert client.notify("set_detection_mapping_mode", mode="3d") == "Message forwarded."
    assert client.ask(b"v") == "3.5.7"
    assert float(client.ask(b"t")) >= 1000.0
    client.connect("frame.eye.")
    assert client.notify("frame_publishing.set_format", format="jpeg") == "Message forwarded."
    seen: dict[str, float] = {}
    for _ in range(20):
        topic, fields, raw = client.receive()
        assert fields["format"] == "jpeg"
        assert isinstance(fields["timestamp"], float)
        picture = cv2.imdecode(np.frombuffer(raw[0], np.uint8), cv2.IMREAD_COLOR)
        seen[topic] = float(picture.mean())
    assert seen["frame.eye.0"] < 20 < 190 < seen["frame.eye.1"]
    assert set(seen) == {"frame.eye.0", "frame.eye.1"}


@pytest.mark.parametrize(
    "request_fields",
    [
        {"subject": "frame_publishing.set_format", "format": "bgr"},
        {"subject": "start_plugin", "name": "Frame_Publisher", "args": {"format": "bgr"}},
    ],
)
def test_helper_script_receives_three_cameras_in_bgr(
    client: StockClient, request_fields: dict[str, object]
) -> None:
    """As recv_world_video_frames.py does it: nothing is shown until all three came in BGR."""
    client.connect("frame.")
    fields = dict(request_fields)
    assert client.notify(str(fields.pop("subject")), **fields) == "Message forwarded."
    for topic in ("frame.world", "frame.eye.0", "frame.eye.1"):
        told, raw = client.receive_where(topic, "bgr")
        image = np.frombuffer(raw, np.uint8).reshape(told["height"], told["width"], 3)
        assert image.size


def test_two_existing_clients_with_different_wishes_do_not_fight(
    client: StockClient, other: StockClient
) -> None:
    client.connect("frame.eye.")
    client.notify("frame_publishing.set_format", format="jpeg")
    client.receive_where("frame.eye.0", "jpeg")
    other.notify("frame_publishing.set_format", format="bgr")
    other.connect("frame.")
    other.receive_where("frame.world", "bgr")
    for _ in range(20):
        _, fields, _ = client.receive()
        assert fields["format"] == "jpeg"


def test_words_of_one_client_reach_the_others_and_ours_are_said_once(
    client: StockClient, other: StockClient
) -> None:
    other.connect("notify.")
    deadline = time.monotonic() + WAIT_S
    while not other.sub.poll(50):  # the subscription takes a moment
        assert time.monotonic() < deadline
        client.notify("hello", number=1.5)
    assert other.receive()[:2] == (
        "notify.hello",
        {"topic": "notify.hello", "subject": "hello", "number": 1.5},
    )
    pub = client._context.socket(zmq.PUB)
    pub.connect(f"tcp://127.0.0.1:{client.ask(b'PUB_PORT').strip()}")
    heard: list[str] = []
    while "notify.by_pub_port" not in heard:
        assert time.monotonic() < deadline
        pub.send_multipart([b"notify.by_pub_port", msgpack.packb({"subject": "by_pub_port"})])
        if other.sub.poll(50):
            heard.append(other.receive()[0])
    for subject in ("unvisor.paused", "frame_publishing.started", "unvisor.pause"):
        client.notify(subject)
    client.notify("unvisor.resume")
    client.notify("last")
    heard = []
    while "notify.last" not in heard:
        heard.append(other.receive()[0])
    ours = [word for word in heard if word not in ("notify.by_pub_port", "notify.hello")]
    assert ours == ["notify.unvisor.paused", "notify.unvisor.resumed", "notify.last"]
