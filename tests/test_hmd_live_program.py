"""`python -m hmd_capture` with real kinds of eye cameras, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from eye_servers import Board, repeating
from pythonosc.udp_client import SimpleUDPClient

from edge.eyes.arrivals import TOPICS, EyeArrivals
from edge.eyes.fusion import EyeFusion, eye_statuses
from edge.hmd_process import camera_arguments
from edge.profile import EyeCalibration
from hmd_capture.sources.eye_view import EyeCameraSettings
from streaming.clock_follower import ClockFollower
from streaming.messages import Notification
from streaming.records import EyeObservation, EyeParameters
from streaming.subscriber import Subscriber
from streaming.topics import EYE_CAMERAS_NOTE, EYE_PARAMETERS, EYES

ROOT = Path(__file__).parents[1]
WAIT_S = 20.0


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """The program on free ports."""

    def __init__(self, *arguments: str) -> None:
        self.eyes = f"tcp://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "hmd_capture", "--publish", self.eyes, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def stop(self) -> str:
        """End it and return its log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0, log
        assert "Traceback" not in log
        return log


@pytest.fixture
def board() -> Iterator[Board]:
    server = Board()
    yield server
    if server.is_on:
        server.stop()


def note_with(subscriber: Subscriber, words: str) -> str:
    deadline_s = time.monotonic() + WAIT_S
    detail = ""
    while words not in detail or (not words and detail):
        assert time.monotonic() < deadline_s, f"the last was {detail!r}"
        arrival = subscriber.take(EYE_CAMERAS_NOTE, 0.1)
        if arrival is not None and isinstance(arrival.message, Notification):
            detail = str(arrival.message.fields["detail"])
    return detail


def test_a_real_cameras_images_are_read(board: Board) -> None:
    source = EyeCameraSettings(f"mjpeg:{board.url}", 90.0, "both", "20,20,200,160")
    program = Program(*camera_arguments("left", source))
    with Subscriber(program.eyes, TOPICS) as subscriber:
        arrival = subscriber.take(EYES[1], WAIT_S)
        assert arrival is not None
        seen = arrival.message
        assert isinstance(seen, EyeObservation)
        assert abs(arrival.age_ns) < 2e9
        # The region that the settings name, 200×160 px, turned by 90°.
        assert (seen.lids[..., 0].mean(), seen.lids[..., 1].mean()) == pytest.approx(
            (80, 100), abs=50
        )
    log = program.stop()
    assert f"Eye images from mjpeg:{board.url}" in log
    assert "Rejected and skipped, by source" in log


def test_a_lost_camera_is_named_and_comes_back_by_itself(board: Board) -> None:
    other = Board()
    program = Program("--left", f"mjpeg:{board.url}", "--right", f"mjpeg:{other.url}")
    with Subscriber(program.eyes, TOPICS) as subscriber:
        assert subscriber.take(EYES[1], WAIT_S)
        board.stop()
        detail = note_with(subscriber, f"left eye camera mjpeg:{board.url} is silent since")
        assert "check its power and network; trying again" in detail
        while subscriber.take(EYES[1], 0.3):
            pass
        assert subscriber.take(EYES[0], WAIT_S)  # the other eye goes on
        stopped_ns = time.monotonic_ns()
        board.start()
        arrival = subscriber.take(EYES[1], WAIT_S)
        assert arrival is not None
        assert isinstance(arrival.message, EyeObservation)
        assert arrival.message.capture_time_ns > stopped_ns
    log = program.stop()
    assert f"left eye camera mjpeg:{board.url} is silent since" in log
    assert log.count("is silent since") == 1  # once, not every second
    other.stop()


def test_gaze_without_images_reaches_the_fusion() -> None:
    port = free_port(socket.SOCK_DGRAM)
    program = Program("--right", f"osc:{port}", "--left", f"osc:{port}")
    sender = SimpleUDPClient("127.0.0.1", port)
    fusion = EyeFusion((EyeCalibration(), EyeCalibration()), 10**9)

    def send() -> None:
        sender.send_message("/tracking/eye/LeftRightPitchYaw", [0.0, 10.0, 0.0, 20.0])
        sender.send_message("/tracking/eye/EyesClosedAmount", 0.7)

    with Subscriber(program.eyes, TOPICS) as subscriber, repeating(send):
        for topic in EYE_PARAMETERS:
            arrival = subscriber.take(topic, WAIT_S)
            assert arrival is not None
            assert isinstance(arrival.message, EyeParameters)
        with EyeArrivals(subscriber, fusion.observe):
            deadline_s = time.monotonic() + WAIT_S
            while eye_statuses(fusion.at(time.monotonic_ns())):
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            time.sleep(0.15)  # what begins to be seen is eased in
            right, left = fusion.at(time.monotonic_ns())
    assert right.openness == left.openness == pytest.approx(0.3)
    np.testing.assert_allclose(np.degrees(right.gaze), [-20, 0], atol=0.01)
    np.testing.assert_allclose(np.degrees(left.gaze), [-10, 0], atol=0.01)
    program.stop()


def test_its_clock_can_be_asked(board: Board) -> None:
    clock = f"tcp://127.0.0.1:{free_port()}"
    program = Program("--left", f"mjpeg:{board.url}", "--clock", clock)
    with ClockFollower(clock) as follower:
        deadline_s = time.monotonic() + WAIT_S
        while (offset := follower.offset()) is None or follower.answers < 5:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert abs(offset.offset_ns) <= offset.uncertainty_ns  # it is this machine
    program.stop()


def test_the_note_of_the_eye_cameras_is_passed_on_and_grows_stale(board: Board) -> None:
    board.stop()
    program = Program("--left", f"mjpeg:{board.url}")
    with (
        Subscriber(program.eyes, TOPICS) as subscriber,
        EyeArrivals(subscriber, lambda _: None) as arrivals,
    ):
        deadline_s = time.monotonic() + WAIT_S
        while "left eye camera" not in arrivals.note:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        program.stop()
        while arrivals.note:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--left", "webcam:0"], "names no eye camera"),
        (["--left", "uvc:0", "--left-flip", "sideways"], "is no flip"),
        (["--left", "uvc:0", "--left-region", "1,2"], "is no region"),
        (["--left", "uvc:0", "--right", "uvc:0"], "split:uvc:0"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_1(arguments: list[str], words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "hmd_capture", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ended.returncode == 1
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_pyserial_the_fix_can_be_copied(tmp_path: Path) -> None:
    """The brackets of the extra's name were once taken for the terminal's colours."""
    (tmp_path / "serial.py").write_text("raise ModuleNotFoundError('no serial', name='serial')")
    ended = subprocess.run(
        [sys.executable, "-m", "hmd_capture", "--left", "serial:/dev/ttyACM0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    assert ended.returncode == 1
    assert 'pip install -e ".[serial]"' in ended.stderr
