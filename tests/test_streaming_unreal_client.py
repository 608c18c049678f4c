"""The Unreal plugin: installs, compiles against stub headers, and its component plays a stream."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from streaming_source import Source, a_source, moving_picture, publishing
from test_streaming_cpp_client import LACKS

CLIENT = Path(__file__).parents[1] / "streaming" / "clients" / "unreal"
STUBS = Path(__file__).parent / "clients" / "unreal"


def needs_build(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs the compiler, for as long as the C++ client's."""
    lacking = pytest.mark.skipif(
        bool(LACKS),
        reason=f"no {LACKS}: apt-get install g++ libzmq3-dev cppzmq-dev libmsgpack-cxx-dev "
        "libturbojpeg0-dev",
    )
    marked: Callable[..., None] = pytest.mark.slow(lacking(test))
    return marked


def install(project: Path) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(CLIENT / "install.sh"), str(project)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def a_project(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Game.uproject").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program made of the installed plugin, the stubs and `Play.cpp`."""
    folder = tmp_path_factory.mktemp("unreal")
    done = install(a_project(folder))
    assert done.returncode == 0, done.stderr
    source = folder / "Plugins" / "Unvisor" / "Source"
    includes = (
        STUBS,
        source / "Unvisor" / "Public",
        source / "ThirdParty" / "UnvisorCpp" / "include",
        source / "ThirdParty" / "UnvisorCpp" / "src",
    )
    # As the engine's build: no run-time types, exceptions on for this module, warnings as errors.
    flags = (
        "-std=c++20",
        "-O1",
        "-fno-rtti",
        "-Wall",
        "-Wextra",
        "-Wshadow",
        "-Werror",
        "-pthread",
    )
    program = folder / "play"
    command = [
        *("c++", *flags, "-o", str(program)),
        *(f"-I{path}" for path in includes),
        *map(str, sorted((source / "Unvisor" / "Private").glob("*.cpp"))),
        *(str(STUBS / "Play.cpp"), "-lzmq", "-lturbojpeg"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return program


@contextmanager
def playing(
    program: Path, address: str, seconds: int = 60, topic: str = "jpeg.face"
) -> Iterator[subprocess.Popen[str]]:
    command = [str(program), address, str(seconds), topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """The first line that matches, within a bounded number of lines."""
    assert process.stdout is not None
    line = ""
    for _ in range(5000):
        last, line = line, process.stdout.readline()
        assert line, f"it ended without {pattern!r}; last: {last}"
        if found := re.match(pattern, line):
            return found
    raise AssertionError(f"no {pattern!r}; last: {line}")


@needs_build
def test_the_component_uploads_moving_pictures(play: Path) -> None:
    with a_source() as source, playing(play, source.address) as process:
        source.wait_for_subscriber()
        with publishing(source, fps=30, side_px=256):
            wait_for(process, r"status 2 Receiving\.")
            wait_for(process, r"frame")
            indices = []
            for _ in range(10):
                line = wait_for(process, r"frame (\d+) ([\d.]+) 256 478 LIVE [01] (.+)")
                indices.append(int(line[1]))
                assert 0 < float(line[2]) < 60
                middle = moving_picture(int(line[1]), 256)[128, 128].astype(int)
                assert np.abs(np.array(line[3].split(","), int) - middle).max() < 40
    assert indices == sorted(set(indices))


@needs_build
@pytest.mark.parametrize("image_format", ["bgr", "gray"])
def test_the_component_shows_raw_pictures(play: Path, image_format: str) -> None:
    topic = f"{image_format}.face"
    with a_source() as source, playing(play, source.address, 60, topic) as process:
        source.wait_for_subscriber(topic)
        with publishing(source, fps=30, side_px=64):
            line = wait_for(process, r"frame (\d+) .* (\d+),(\d+),(\d+)$")
    shown = [int(line[i]) for i in (2, 3, 4)]
    if image_format == "bgr":
        assert shown == moving_picture(int(line[1]), 64)[32, 32].tolist()
    else:
        assert len(set(shown)) == 1


@needs_build
def test_it_comes_back_after_a_restart_and_tells_a_pause(play: Path) -> None:
    first = Source()
    port = first.control.port
    with playing(play, first.address) as process:
        first.wait_for_subscriber()
        with publishing(first, side_px=64):
            wait_for(process, r"frame")
        first.close()
        wait_for(process, r"status 0 Nobody answers")
        with a_source(port) as second:
            second.wait_for_subscriber()
            with publishing(second, side_px=64):
                wait_for(process, r"frame")
            second.publisher.pause()
            wait_for(process, r"status 3 The wearer paused")


@needs_build
def test_play_ends_while_nobody_answers(play: Path) -> None:
    with playing(play, "tcp://127.0.0.1:9", seconds=1) as process:
        wait_for(process, r"status 0 ")
        assert process.wait(timeout=60) == 0


def test_the_installed_plugin_is_complete(tmp_path: Path) -> None:
    done = install(a_project(tmp_path / "Game"))
    assert done.returncode == 0, done.stderr
    plugin = tmp_path / "Game" / "Plugins" / "Unvisor"
    manifest = json.loads((plugin / "Unvisor.uplugin").read_text())
    for module in manifest["Modules"]:
        rules = plugin / "Source" / module["Name"] / f"{module['Name']}.Build.cs"
        assert f"class {module['Name']} : ModuleRules" in rules.read_text()
    included = re.findall(
        r'#include "(\w+\.cpp)"',
        (plugin / "Source" / "Unvisor" / "Private" / "UnvisorCpp.cpp").read_text(),
    )
    sources = plugin / "Source" / "ThirdParty" / "UnvisorCpp" / "src"
    headers = {
        name
        for path in sources.iterdir()
        for name in re.findall(r'#include "(\w+\.hpp)"', path.read_text())
    }
    assert sorted({*included, *headers}) == sorted(path.name for path in sources.iterdir())
    assert install(tmp_path / "Game").returncode == 0  # again, over the first


def test_installing_elsewhere_is_refused(tmp_path: Path) -> None:
    done = install(tmp_path)
    assert done.returncode == 1
    assert "no .uproject" in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_states_of_component_and_client_are_the_same() -> None:
    header = CLIENT.parent / "cpp" / "include" / "unvisor" / "client.hpp"
    ours = CLIENT / "Unvisor" / "Source" / "Unvisor" / "Public" / "UnvisorFaceComponent.h"
    states = [
        re.findall(r"^\s+k?([A-Z]\w+),?\s*(?://.*)?$", text.partition("}")[0], re.M)
        for text in (
            header.read_text().partition("enum class State {")[2],
            ours.read_text().partition("enum class EUnvisorState : uint8")[2],
        )
    ]
    assert states[0] == states[1]
    assert len(states[0]) == 6
