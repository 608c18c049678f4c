"""The example clients run as their README says, against a publisher and against nothing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from streaming.clock import monotonic_ns
from streaming.control import ControlServer
from streaming.publisher import Publisher
from streaming.records import RestoredFace, Status

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "streaming" / "clients" / "python"
IMAGE = np.full((60, 80, 3), 120, np.uint8)


def a_face(frame_id: int) -> RestoredFace:
    return RestoredFace(
        frame_id=frame_id,
        capture_time_ns=monotonic_ns() - 20_000_000,
        publish_time_ns=monotonic_ns(),
        image=IMAGE,
        crop=IMAGE,
        frame_from_crop=np.eye(2, 3, dtype=np.float32),
        landmarks=np.ones((478, 3), np.float32),
        gaze=np.zeros((2, 2), np.float32),
        openness=np.ones(2, np.float32),
        status=(Status.LIVE,),
        filler="warp-blend",
        landmark_source="oracle",
    )


@pytest.fixture
def server() -> Iterator[tuple[Publisher, ControlServer]]:
    """A publisher at about 50 frames a second, its clock set a thousand seconds ahead."""
    with Publisher(port=0) as publisher:
        publisher.clock.set_s(publisher.clock.now_s() + 1000)
        control = ControlServer(publisher.port, publisher.obey, publisher.clock, port=0)
        ended = threading.Event()

        def publish() -> None:
            frame_id = 0
            while not ended.wait(0.02):
                publisher.publish_restored(a_face(frame_id))
                frame_id += 1

        thread = threading.Thread(target=publish)
        thread.start()
        yield publisher, control
        ended.set()
        thread.join()
        control.close()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_blocking_example_shows_and_saves(
    server: tuple[Publisher, ControlServer], tmp_path: Path
) -> None:
    saved = tmp_path / "face.png"
    name = "streaming.clients.python.show_stream"
    done = run("-m", name, server[0].endpoint, "--seconds", "2", "--save", str(saved))
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+\.\d fps, age \d+\.\d+ ms, \d+ drops, LIVE", done.stdout)
    picture = cv2.imread(str(saved))
    assert picture is not None
    assert cv2.PSNR(picture, IMAGE) > 40


def test_the_asyncio_example_shows_frames_and_states(
    server: tuple[Publisher, ControlServer],
) -> None:
    name = "streaming.clients.python.show_stream_async"
    done = run("-m", name, server[0].endpoint, "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "eyes open 1.00 1.00, gaze +0° +0°" in done.stdout
    assert int(done.stdout.splitlines()[-1].split()[0]) > 1


def test_the_plain_example_runs_anywhere_and_tells_the_age_by_the_publishers_clock(
    server: tuple[Publisher, ControlServer], tmp_path: Path
) -> None:
    script = tmp_path / "elsewhere.py"
    script.write_bytes((FOLDER / "plain_client.py").read_bytes())
    saved = tmp_path / "face.jpg"
    arguments = ["127.0.0.1", str(server[1].port), "--seconds", "2", "--save", str(saved)]
    done = run("-I", str(script), *arguments)
    assert done.returncode == 0, done.stderr
    ages = [int(age) for age in re.findall(r"80×60 jpeg, (-?\d+) ms old, \['LIVE'\]", done.stdout)]
    assert ages
    assert 15 <= min(ages) < 900  # 20 ms by the clock that was set ahead, not 1000 s
    assert cv2.imread(str(saved)) is not None


@pytest.mark.parametrize("name", ["show_stream", "show_stream_async", "plain_client"])
def test_ctrl_c_ends_an_example_with_its_count_and_picture(
    server: tuple[Publisher, ControlServer], tmp_path: Path, name: str
) -> None:
    """The only end of an example that runs without `--seconds`."""
    own = ["127.0.0.1", str(server[1].port)] if name == "plain_client" else [server[0].endpoint]
    saved = tmp_path / "face.jpg"
    save = [] if name == "show_stream_async" else ["--save", str(saved)]
    command = [sys.executable, "-u", "-m", f"streaming.clients.python.{name}", *own, *save]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        while not re.match(r"frame|[1-9]\d*\.\d fps", line := process.stdout.readline()):
            assert line, "it ended by itself"  # a rate: more than one frame has come
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert re.search(r"^[1-9]\d* frames", output, re.MULTILINE)
    assert not save or cv2.imread(str(saved)) is not None


@pytest.mark.parametrize("name", ["show_stream", "show_stream_async"])
def test_an_example_says_when_nobody_publishes(name: str) -> None:
    with Publisher(port=0) as nobody:
        endpoint = nobody.endpoint
    done = run("-m", f"streaming.clients.python.{name}", endpoint, "--seconds", "0.3")
    assert done.returncode == 1
    assert "No frame came from" in done.stderr


def test_the_plain_example_says_when_nobody_answers() -> None:
    with Publisher(port=0) as nobody:
        port = nobody.port
    done = run(str(FOLDER / "plain_client.py"), "127.0.0.1", str(port))
    assert done.returncode == 1
    assert "Nobody answers" in done.stderr


def test_the_readme_names_every_example() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(path.name in text for path in FOLDER.glob("*.py"))
