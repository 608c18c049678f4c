"""The Unity package: compiles with Mono against stubs, reads the vectors, plays a real stream."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_vectors import FOR_CLIENTS, check_answer, path_of
from streaming_source import Source, a_silenced_control, a_source, publishing
from zmq.utils import z85

from streaming.messages import encode
from streaming.security.gate import Gate
from streaming.security.keys import KeyFolder
from streaming.vectors.cases import a_frame
from streaming.vectors.pictures import numbered_bgr, numbered_grey

PACKAGE = Path(__file__).parents[1] / "streaming" / "clients" / "unity"
STUBS = Path(__file__).parent / "clients" / "unity"
LACKS = [tool for tool in ("mcs", "mono") if shutil.which(tool) is None]
needs_mono = pytest.mark.skipif(
    bool(LACKS), reason=f"no {' or '.join(LACKS)}: apt-get install mono-mcs mono-runtime"
)


def compiled(output: Path, sources: list[Path], *options: str) -> Path:
    """Compile C# 7, every warning an error but that Unity, not C#, sets a field."""
    kind = "library" if output.suffix == ".dll" else "exe"
    command = ["mcs", "-langversion:7", "-warnaserror", "-nowarn:0649", f"-target:{kind}"]
    done = subprocess.run(
        [*command, f"-out:{output}", *options, *map(str, sources)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the assemblies, cut as Unity cuts them."""
    folder = tmp_path_factory.mktemp("unity")
    runtime = PACKAGE / "Runtime"
    wire = compiled(folder / "Unvisor.Wire.dll", sorted((runtime / "Wire").glob("*.cs")))
    engine = compiled(folder / "UnityEngine.dll", [STUBS / "UnityStubs.cs"])
    unity = compiled(
        folder / "Unvisor.Unity.dll",
        sorted((runtime / "Unity").glob("*.cs")),
        f"-r:{wire}",
        f"-r:{engine}",
    )
    compiled(folder / "Decode.exe", [STUBS / "Decode.cs"], f"-r:{wire}")
    ours = (f"-r:{wire}", f"-r:{engine}", f"-r:{unity}")
    compiled(folder / "Play.exe", [STUBS / "Play.cs"], *ours)
    samples = sorted((PACKAGE / "Samples~").rglob("*.cs"))
    compiled(folder / "Samples.dll", samples, *ours)
    return folder


@pytest.fixture(scope="module")
def answers(build: Path) -> dict[str, dict[str, Any]]:
    """What the C# decoder printed, by the vector's name."""
    paths = [str(path_of(vector)) for vector in FOR_CLIENTS]
    done = subprocess.run(
        ["mono", str(build / "Decode.exe"), *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {v["name"]: line for v, line in zip(FOR_CLIENTS, lines, strict=True)}


@needs_mono
@pytest.mark.parametrize("vector", FOR_CLIENTS, ids=lambda vector: vector["name"])
def test_it_reads_every_vector(answers: dict[str, dict[str, Any]], vector: dict[str, Any]) -> None:
    answer = dict(answers[vector["name"]])
    answer.pop("rgba", None)
    check_answer(vector, answer)


@needs_mono
@pytest.mark.parametrize("name", ["frame_extra_keys", "face_state", "notify_format", "jpeg_face"])
def test_damaged_messages_are_refused_or_read_and_never_worse(build: Path, name: str) -> None:
    vector = next(vector for vector in FOR_CLIENTS if vector["name"] == name)
    command = ["mono", str(build / "Decode.exe"), "--mutate", "5000", str(path_of(vector))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert 1000 < int(done.stdout) < 5000


@needs_mono
def test_raw_pictures_become_textures_with_the_bottom_row_first(
    answers: dict[str, dict[str, Any]],
) -> None:
    colour = np.array(answers["frame_world_bgr"]["rgba"]).reshape(2, 3, 4)
    assert (colour[::-1, :, 2::-1] == numbered_bgr()).all()
    assert (colour[..., 3] == 255).all()
    grey = np.array(answers["frame_eye_gray"]["rgba"]).reshape(2, 4, 4)
    assert (grey[::-1, :, :3] == numbered_grey()[..., None]).all()


@needs_mono
def test_the_netmq_transport_compiles_against_netmqs_signatures(
    build: Path, tmp_path: Path
) -> None:
    netmq = compiled(tmp_path / "NetMQ.dll", [STUBS / "NetMqStubs.cs"])
    sources = sorted((PACKAGE / "Runtime" / "NetMq").glob("*.cs"))
    compiled(
        tmp_path / "Unvisor.NetMq.dll",
        sources,
        "-define:UNVISOR_NETMQ",
        f"-r:{netmq}",
        f"-r:{build / 'Unvisor.Wire.dll'}",
    )
    compiled(tmp_path / "Without.dll", sources)


@contextmanager
def playing(build: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        ["mono", str(build / "Play.exe"), "127.0.0.1", str(port), "60", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], pattern: str, lines: int = 5000) -> re.Match[str]:
    """The first line that matches, within a bounded number of lines."""
    assert process.stdout is not None
    seen = []
    for _ in range(lines):
        seen.append(process.stdout.readline())
        assert seen[-1], f"it ended without {pattern!r}; last: {seen[-5:]}"
        found = re.match(pattern, seen[-1])
        if found:
            return found
    raise AssertionError(f"no {pattern!r} in {lines} lines; last: {seen[-5:]}")


@needs_mono
def test_the_component_shows_moving_pictures_with_age_and_landmarks(build: Path) -> None:
    with a_source() as source, publishing(source), playing(build, source.control.port) as process:
        assert wait_for(process, r"status Receiving (.*)")[1] == "Receiving."
        wait_for(process, r"frame")
        indices = []
        for _ in range(20):
            line = wait_for(process, r"frame (\d+) ([\d.]+) (\d+) (\d+) (\w+) (\w+)")
            indices.append(int(line[1]))
            assert 0 < float(line[2]) < 60_000
            assert int(line[3]) > 5000
        assert indices == sorted(set(indices))
        assert line[4] == str(3 * 478)


@needs_mono
def test_the_component_shows_raw_pictures_too(build: Path) -> None:
    with (
        a_source() as source,
        publishing(source, side_px=64),
        playing(build, source.control.port, "bgr.face") as process,
    ):
        line = wait_for(process, r"frame (\d+) ([\d.]+) (\d+) (\d+) RGBA32")
    assert int(line[3]) == 64 * 64 * 4


@needs_mono
def test_after_standing_still_the_component_shows_what_is_published_now(build: Path) -> None:
    with (
        a_source() as source,
        publishing(source, fps=30, side_px=256),
        playing(build, source.control.port) as process,
    ):
        wait_for(process, r"frame")
        process.send_signal(signal.SIGSTOP)
        stopped_at = source.frame_id
        while source.frame_id < stopped_at + 60:
            time.sleep(0.05)
        process.send_signal(signal.SIGCONT)
        indices = [int(wait_for(process, r"frame (\d+)")[1]) for _ in range(60)]
    assert indices == sorted(set(indices))
    assert indices[-1] > stopped_at + 60
    assert not [index for index in indices if stopped_at + 30 < index < stopped_at + 50]


@needs_mono
def test_the_component_comes_back_after_a_restart_and_tells_a_pause(build: Path) -> None:
    first = Source()
    with playing(build, first.control.port) as process:
        with publishing(first, side_px=64):
            wait_for(process, r"frame")
        port = first.control.port
        first.close()
        wait_for(process, r"status Connecting")
        with a_source(port) as second:
            with publishing(second, side_px=64):
                wait_for(process, r"frame")
            second.publisher.pause()
            wait_for(process, r"status Paused The wearer paused")


@needs_mono
def test_it_reads_the_key_files_of_the_keys_command(build: Path, tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys").new_client("anna", tmp_path / "anna.key")
    done = subprocess.run(
        ["mono", str(build / "Decode.exe"), "--key", str(tmp_path / "anna.key")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [
        z85.decode(key).hex() for key in (keys.server, keys.public, keys.secret)
    ]


@needs_mono
def test_an_encrypted_stream_is_named_as_such(build: Path, tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.ensure_server()
    with a_source(guard=Gate(folder)) as source, playing(build, source.control.port) as process:
        wait_for(process, r"status KeysRefused .*encrypted \(CURVE\).*unvisor relay")


@needs_mono
def test_an_unknown_format_is_named_and_the_stream_goes_on(build: Path) -> None:
    topic, packed, jpeg = encode(replace(a_frame(), topic="jpeg.face"))
    unknown = [topic, packed.replace(b"\xa4jpeg", b"\xa4webp"), jpeg]
    with a_source() as source, playing(build, source.control.port) as process:
        source.wait_for_subscriber()
        assert source.publisher._send(unknown)
        wait_for(process, r"status Unreadable .*webp")
        timer = threading.Timer(0.1, source.publish)
        timer.start()
        wait_for(process, r"frame")
        timer.join()


@needs_mono
def test_no_picture_waits_while_the_clock_is_asked_again(build: Path) -> None:
    """The answer never comes: whoever waits for it on the reading thread has to reconnect."""
    with (
        a_source() as source,
        a_silenced_control(source) as control,
        publishing(source, fps=20, side_px=64),
        playing(build, control.port) as process,
    ):
        wait_for(process, r"frame")
        assert control.is_asked_again.wait(10)
        begun = last = source.frame_id
        while last < begun + 30:  # longer than an answer is waited for
            line = wait_for(process, r"status Connecting|frame (\d+) ")
            assert line[1], "it connected again"
            last = int(line[1])


@needs_mono
def test_topics_of_later_versions_are_skipped(build: Path) -> None:
    with a_source() as source, playing(build, source.control.port) as process:
        source.wait_for_subscriber()
        source.publish()
        wait_for(process, r"frame 1 ")
        source.publish_unknown("face.state.later")  # below what the component subscribes to
        timer = threading.Timer(0.1, source.publish)
        timer.start()
        assert wait_for(process, r"status Unreadable.*|frame 2 ")[0] == "frame 2 "
        timer.join()


def test_every_asset_has_its_own_meta_file() -> None:
    """Unity ignores assets without one in a package that it may not write to."""
    assets = [
        path
        for path in PACKAGE.rglob("*")
        if path.suffix != ".meta" and not any(part.endswith("~") for part in path.parts)
    ]
    metas = {path: path.with_name(path.name + ".meta") for path in assets}
    assert len(assets) > 10
    assert not [str(path) for path, meta in metas.items() if not meta.is_file()]
    ids = [re.search(r"^guid: ([0-9a-f]{32})$", m.read_text(), re.M)[1] for m in metas.values()]
    assert len(set(ids)) == len(ids)
    orphans = set(PACKAGE.rglob("*.meta")) - set(metas.values())
    assert not orphans


def test_the_package_names_what_it_holds() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert re.fullmatch(r"[a-z0-9.]+", package["name"])
    for sample in package["samples"]:
        assert list((PACKAGE / sample["path"]).glob("*.cs"))
    names = {p: json.loads(p.read_text()) for p in PACKAGE.rglob("*.asmdef")}
    assert {p.stem for p in names} == {asmdef["name"] for asmdef in names.values()}
    for asmdef in names.values():
        assert set(asmdef["references"]) <= {p.stem for p in names}
