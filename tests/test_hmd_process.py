"""The program beside the headset, as a real process with real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from hmd_capture.feed import EyeFeed
from hmd_capture.simulated import SimulatedHeadset
from streaming.messages import EyeImage, encode
from streaming.records import EyeObservation
from streaming.subscriber import Subscriber
from streaming.topics import EYES

ROOT = Path(__file__).parents[1]
WAIT_S = 20.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


class Program:
    """`python -m hmd_capture` on free ports."""

    def __init__(self, *arguments):
        self.feed, self.eyes = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
        command = [sys.executable, "-m", "hmd_capture", "--feed", self.feed]
        self.process = subprocess.Popen(
            [*command, "--publish", self.eyes, *arguments],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, errors


@pytest.fixture
def started():
    programs = []

    def start(*arguments):
        programs.append(Program(*arguments))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


@pytest.fixture
def worn(canonical_mesh, textured_image):
    return SimulatedHeadset("visor").wear(textured_image, canonical_mesh, capture_time_ns=777)


def send_until_seen(feed, subscriber, images, topic):
    """Feed again and again: both sides connect when they please."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        for image in images:
            feed.send(image)
        arrival = subscriber.take(topic, 0.05)
        if arrival is not None:
            return arrival.message
    raise AssertionError(f"nothing arrived under {topic}")


def test_observations_arrive_as_the_simulator_made_them(started, worn):
    program = started("--eyes", "oracle")
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        for index, topic in enumerate(EYES):
            seen = send_until_seen(feed, subscriber, worn.eye_images(0), topic)
            expected = worn.observations[index]
            assert isinstance(seen, EyeObservation)
            assert seen.side is expected.side
            assert seen.capture_time_ns == 777
            np.testing.assert_allclose(seen.lids, expected.lids, rtol=1e-6)
            np.testing.assert_allclose(seen.iris, expected.iris, rtol=1e-6)
            np.testing.assert_allclose(seen.pupil, expected.pupil, rtol=1e-6)
            assert seen.blink == pytest.approx(expected.blink)
    code, errors = program.stop()
    assert code == 0, errors


def test_by_default_the_images_are_read_and_the_truth_is_not_looked_at(started, worn):
    program = started()
    lie = dataclasses.replace(worn.observations[0], lids=np.zeros((2, 9, 2), np.float32))
    told = dataclasses.replace(worn.eye_images(0)[0], truth=lie)
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        seen = send_until_seen(feed, subscriber, [told], EYES[0])
        assert seen.capture_time_ns == 777
        assert np.abs(seen.lids).max() > 5
    code, errors = program.stop()
    assert code == 0, errors


def test_malformed_messages_are_counted_and_survived(started, worn):
    program = started()
    whole = encode(worn.eye_images(0)[0])
    wild = zmq.Context.instance().socket(zmq.XPUB)
    wild.setsockopt(zmq.LINGER, 0)
    wild.connect(program.feed)
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        send_until_seen(feed, subscriber, worn.eye_images(0), EYES[0])
        # What is sent before the subscription has come is dropped: this failed on a busy machine.
        assert wild.poll(1000 * WAIT_S)
        wild.recv()
        for parts in ([b""], [b"sim.eye.0"], [b"\xff", b"x"], [whole[0], b"\xc1", whole[2]]):
            wild.send_multipart(parts)
        wild.send_multipart([*whole[:2], whole[2][:100]])
        wild.send_multipart(encode(worn.observations[0]))  # well formed, but no eye image
        time.sleep(0.3)
        while subscriber.take(EYES[0], 0.2) is not None:
            pass
        assert send_until_seen(feed, subscriber, worn.eye_images(1), EYES[0]).capture_time_ns == 777
    wild.close()
    code, errors = program.stop()
    assert code == 0, errors
    assert "Ignoring malformed eye images" in errors
    assert ", 6 malformed messages" in errors


def test_a_lost_eye_is_silent_and_the_other_goes_on(started, worn):
    program = started("--dropout", "left")
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        send_until_seen(feed, subscriber, worn.eye_images(0), EYES[0])
        for _ in range(5):
            for image in worn.eye_images(1):
                feed.send(image)
        assert subscriber.take(EYES[1], 0.5) is None
    assert program.stop()[0] == 0


def test_the_oracle_says_nothing_of_images_without_labels_but_counts_them(started, worn):
    program = started("--eyes", "oracle")
    right, left = worn.eye_images(0)
    bare = EyeImage(right.side, 0, 5, right.image, None)
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        send_until_seen(feed, subscriber, [left], EYES[1])
        feed.send(bare)
        assert subscriber.take(EYES[0], 0.5) is None
    code, errors = program.stop()
    assert code == 0
    assert "unread=1" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_cleanly(started, worn, number):
    program = started()
    with EyeFeed(program.feed) as feed, Subscriber(program.eyes, EYES) as subscriber:
        send_until_seen(feed, subscriber, worn.eye_images(0), EYES[0])
    code, errors = program.stop(number)
    assert code == 0
    assert "Stopped after" in errors
    assert "Traceback" not in errors


def test_it_ends_when_its_parent_is_killed(tmp_path):
    """A supervisor that is killed outright must not leave a process that holds the ports."""
    feed, eyes = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    starter = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'hmd_capture', '--feed', '{feed}',"
        f" '--publish', '{eyes}'], stderr=open({str(tmp_path / 'log')!r}, 'w'))\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    child = int(parent.stdout.readline())
    try:
        wait_for(lambda: "Eye images from" in (tmp_path / "log").read_text())
        parent.kill()
        parent.wait(WAIT_S)
        wait_for(lambda: has_ended(child))
    finally:
        parent.kill()
        parent.communicate()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    assert "has ended; stopping" in (tmp_path / "log").read_text()


def has_ended(pid):
    """Whether the process is gone, or a zombie that nobody has waited for yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(condition):
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def test_a_port_in_use_is_one_clear_sentence(started):
    first = started()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        second = subprocess.run(
            [sys.executable, "-m", "hmd_capture", "--feed", f"127.0.0.1:{port}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            env=environment(),
            check=False,
        )
    assert second.returncode == 1
    assert f"Port {port}" in second.stderr
    assert "Traceback" not in second.stderr
    assert first.process.poll() is None


def test_it_needs_neither_torch_nor_mediapipe():
    code = (
        "import sys, hmd_capture.__main__; print(sorted({'torch','mediapipe'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env=environment(),
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_the_oracle_is_refused_where_the_eyes_are_real(started):
    program = started("--eyes", "oracle", "--left", "mjpeg:http://127.0.0.1:9")
    code, errors = program.process.wait(WAIT_S), program.process.stderr.read()
    assert code == 1
    assert "The oracle knows only simulated headsets." in errors


def test_a_reader_of_another_name_is_refused_with_those_there_are(started):
    program = started("--eyes", "guess")
    code, errors = program.process.wait(WAIT_S), program.process.stderr.read()
    assert code == 1
    assert "Use network or oracle." in errors
