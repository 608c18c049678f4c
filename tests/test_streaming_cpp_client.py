"""The C++ client: builds from Debian's packages, reads the vectors, receives from our publisher."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from client_vectors import FOR_CLIENTS, check_answer, path_of
from streaming_source import Source, a_silenced_control, a_source, moving_picture, publishing

from streaming.security.gate import Gate
from streaming.security.keys import KeyFolder, write_client

CLIENT = Path(__file__).parents[1] / "streaming" / "clients" / "cpp"
TOOLS = ("cmake", "c++", "pkg-config")
FAST = "-DCMAKE_CXX_FLAGS_RELEASE=-O1"  # to compile, not to run
HEADERS = ("zmq.hpp", "msgpack.hpp", "turbojpeg.h")


def what_lacks() -> str:
    """Why the client cannot be built here; empty when it can."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not missing:
        source = "".join(f"#include <{header}>\n" for header in HEADERS)
        command = ["c++", "-std=c++17", "-DMSGPACK_NO_BOOST", "-M", "-x", "c++", "-"]
        tried = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        missing = [header for header in HEADERS if f"{header}: No such file" in tried.stderr]
        missing = missing or (["a C++17 compiler"] if tried.returncode else [])
    return ", ".join(missing)


LACKS = what_lacks()
pytestmark = [
    pytest.mark.slow,  # the build takes the compiler half a minute on a busy machine
    pytest.mark.skipif(
        bool(LACKS),
        reason=f"no {LACKS}: apt-get install cmake g++ pkg-config libzmq3-dev cppzmq-dev "
        "libmsgpack-cxx-dev libturbojpeg0-dev",
    ),
]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built programs."""
    folder = tmp_path_factory.mktemp("cpp")
    for command in (
        ["cmake", "-S", str(CLIENT), "-B", str(folder), "-DUNVISOR_BUILD_TESTS=ON", FAST],
        ["cmake", "--build", str(folder)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stdout + done.stderr
    return folder


@contextmanager
def watching(build: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`unvisor-watch`, killed when the block ends."""
    process = subprocess.Popen(
        [str(build / "unvisor-watch"), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = process.stdout.read(), process.stderr.read()  # the programs say little
    return process.wait(timeout=60), output, errors


@pytest.mark.parametrize("vector", FOR_CLIENTS, ids=lambda vector: vector["name"])
def test_it_reads_every_vector(build: Path, vector: dict[str, Any]) -> None:
    places = [f"{column},{row}" for column, row, *_ in vector.get("pixels_bgr", ())]
    done = subprocess.run(
        [str(build / "unvisor-decode"), str(path_of(vector)), *places],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    answer = json.loads(done.stdout)
    assert ("pixels_bgr" in answer) == bool(places)
    check_answer(vector, answer)


@pytest.mark.parametrize("name", ["frame_extra_keys", "face_state", "notify_format", "jpeg_face"])
def test_damaged_messages_are_refused_or_read_and_never_worse(build: Path, name: str) -> None:
    vector = next(vector for vector in FOR_CLIENTS if vector["name"] == name)
    command = [str(build / "unvisor-decode"), str(path_of(vector)), "--mutate", "20000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert 5000 < int(done.stdout) < 20000


def test_every_512_px_jpeg_arrives_in_order(build: Path, tmp_path: Path) -> None:
    """At most two frames are under way, so that a busy machine drops none."""
    wanted = 200
    saved = tmp_path / "newest.jpg"
    options = ("--every", "--lines", "--frames", str(wanted), "--save", str(saved))
    with a_source() as source, watching(build, *options, "--control", source.address) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[-1] == "3.5.7"
        source.wait_for_subscriber()
        source.publish()
        lines = []
        while len(lines) < wanted:
            source.publish()
            lines.append(process.stdout.readline().split())
        code, output, errors = finish(process)
    assert code == 0, errors
    assert [int(index) for _, index, *_ in lines] == list(range(1, wanted + 1))
    assert all(0 <= float(age_ms) < 60_000 for *_, age_ms in lines)
    assert f"frames {wanted}" in output
    assert output.rstrip().endswith("drops 0")
    newest = cv2.imread(str(saved))
    assert newest.shape == (512, 512, 3)
    assert np.abs(newest.astype(int) - moving_picture(wanted)).mean() < 6


def test_the_newest_frames_come_with_their_age(build: Path, tmp_path: Path) -> None:
    saved = tmp_path / "newest.ppm"
    options = ("--frames", "20", "--save", str(saved))
    with (
        a_source() as source,
        publishing(source),
        watching(build, *options, "--control", source.address) as process,
    ):
        code, output, errors = finish(process)
    assert code == 0, errors
    words = output.split()
    ages_ms = [float(words[words.index(name) + 1]) for name in ("p50", "p99")]
    assert 0 < ages_ms[0] <= ages_ms[1] < 60_000
    assert cv2.imread(str(saved)).shape == (512, 512, 3)


def test_ages_stay_true_when_another_client_sets_the_clock(build: Path) -> None:
    with (
        a_source() as source,
        watching(
            build, "--every", "--lines", "--frames", "4", "--control", source.address
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        source.wait_for_subscriber()
        ages_ms = []
        for frame in range(4):
            if frame == 2:
                source.publisher.clock.set_s(1e6)
            source.publish()
            ages_ms.append(float(process.stdout.readline().split()[-1]))
        assert finish(process)[0] == 0
    assert all(0 <= age_ms < 60_000 for age_ms in ages_ms)


def test_no_picture_waits_while_the_clock_is_asked_again(build: Path) -> None:
    """The answer never comes: whoever waits for it on the reading thread ends with an error."""
    options = ("--every", "--lines", "--frames", "1000000")
    with (
        a_source() as source,
        a_silenced_control(source) as control,
        publishing(source, fps=20, side_px=64),
        watching(build, *options, "--control", control.address) as process,
    ):
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(control.is_asked_again.is_set() for _ in itertools.islice(lines, 300))
        assert len(list(itertools.islice(lines, 30))) == 30  # longer than an answer is waited for


def test_topics_of_later_versions_are_skipped(build: Path) -> None:
    """Below the prefix that a client subscribed to; they ended the one and flickered the other."""
    options = ("--every", "--lines", "--frames", "2")
    with a_source() as source, watching(build, *options, "--control", source.address) as process:
        assert process.stdout is not None
        process.stdout.readline()
        source.wait_for_subscriber()
        source.publish()
        process.stdout.readline()
        source.publish_unknown("jpeg.face.later")
        source.publish()
        code, output, errors = finish(process)
    assert (code, errors) == (0, "")
    assert output.startswith("frame 2 ")


def test_after_standing_still_it_shows_what_is_published_now(build: Path) -> None:
    options = ("--lines", "--frames", "1000000")
    with (
        a_source() as source,
        publishing(source, fps=30, side_px=256),
        watching(build, *options, "--control", source.address) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        stopped_at = source.frame_id
        while source.frame_id < stopped_at + 60:
            time.sleep(0.05)
        process.send_signal(signal.SIGCONT)
        indices = [int(process.stdout.readline().split()[1]) for _ in range(60)]
    assert indices == sorted(set(indices))
    assert indices[-1] > stopped_at + 60
    old = [index for index in indices if stopped_at + 30 < index < stopped_at + 50]
    assert not old  # nothing of the time in between was shown as if it were new


def test_it_comes_back_when_the_publisher_starts_anew_on_another_port(build: Path) -> None:
    first = Source()
    port = first.control.port
    with watching(build, "--frames", "1000000", "--control", first.address) as process:
        first.wait_for_subscriber()
        first.close()
        with a_source(port) as second:
            second.wait_for_subscriber()
            assert second.publisher.port != first.publisher.port
            assert process.poll() is None


def test_it_says_that_nobody_answers(build: Path) -> None:
    with watching(build, "--every", "--control", "tcp://127.0.0.1:9") as process:
        code, _, errors = finish(process)
    assert code == 1
    assert "Nobody answers at tcp://127.0.0.1:9" in errors
    assert "unvisor run" in errors


def test_it_says_which_option_is_wrong(build: Path) -> None:
    with watching(build, "--colour", "red") as process:
        code, _, errors = finish(process)
    assert code == 2
    assert "--colour" in errors
    with watching(build, "--seconds", "soon") as process:
        code, _, errors = finish(process)
    assert (code, errors) == (2, "--seconds takes a number, not 'soon'.\n")


def test_its_help_names_the_options(build: Path) -> None:
    with watching(build, "--help") as process:
        code, said, _ = finish(process)
    assert code == 0
    assert all(option in said for option in ("--control", "--key", "--topic", "--save", "--every"))


def test_with_its_key_file_an_encrypted_stream_arrives_and_with_another_it_says_so(
    build: Path, tmp_path: Path
) -> None:
    folder, other = KeyFolder(tmp_path / "keys"), KeyFolder(tmp_path / "other")
    folder.new_client("anna", tmp_path / "anna.key")
    folder.new_client("ben", tmp_path / "ben.key")
    folder.revoke("ben")
    other.new_client("cleo", tmp_path / "cleo.key")
    write_client("dora", folder.server().public, tmp_path / "dora.key")
    (tmp_path / "torn.key").write_text("curve\n")
    options = ("--every", "--frames", "3")
    with a_source(guard=Gate(folder)) as source, publishing(source, side_px=64):
        for key, wanted, said in (
            ("anna", 0, ""),
            ("ben", 1, "does not accept these keys"),
            ("cleo", 1, "does not accept these keys"),
            ("dora", 1, "does not accept these keys"),
            ("torn", 1, "is no client's key file"),
            ("missing", 1, "is no client's key file"),
            (None, 1, "wants a key"),
        ):
            own = () if key is None else ("--key", str(tmp_path / f"{key}.key"))
            with watching(build, *options, *own, "--control", source.address) as process:
                code, _, errors = finish(process)
            assert (code, said in errors) == (wanted, True), (key, errors)
