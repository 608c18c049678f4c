"""Calls into CUDA's driver library, against a stand-in that was compiled for the test."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.cuda.graphs import GraphDriver
from models.engine.interface import EngineError

HERE = Path(__file__).parent
COMPILER = shutil.which("cc") or shutil.which("gcc")
Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def compile_library(target: Path, source: str) -> None:
    assert COMPILER is not None
    path = target.with_name(f"{target.name}.c")
    path.write_text(source)
    command = [COMPILER, "-w", "-shared", "-fPIC", f"-Wl,-soname,{target.name}"]
    subprocess.run([*command, "-o", target, path], check=True, timeout=60)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libcuda.so.1; with pycuda here, it has all the names that pycuda links to."""
    if COMPILER is None:
        pytest.skip("needs a C compiler")
    source = (HERE / "stand_in_driver.c").read_text()
    have = set(re.findall(r"^int (cu\w+)", source, re.M))
    folder = tmp_path_factory.mktemp("driver")
    wanted = names_that_pycuda_links_to()
    more = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(wanted - have))
    compile_library(folder / "libcuda.so.1", source + re.sub(r"(?m)^int curand.*\n", "", more))
    compile_library(folder / "libcurand.so.10", "\n".join(re.findall(r"(?m)^int curand.*", more)))
    return folder / "libcuda.so.1"


def names_that_pycuda_links_to() -> set[str]:
    spec = importlib.util.find_spec("pycuda")
    if spec is None or spec.origin is None:
        return set()
    (module,) = Path(spec.origin).parent.glob("_driver.*.so")
    return {
        name.decode()
        for name in re.findall(rb"\x00(cu(?:rand)?[A-Z]\w+)(?=\x00)", module.read_bytes())
        if not name.startswith((b"cudaError", b"cuda"))
    }


def test_the_driver_tells_its_gpu(library: Path) -> None:
    assert find_gpu(lambda name: ctypes.CDLL(str(library))) == Gpu("Stand-in", "8.6", "13.0")


def test_a_captured_graph_runs_only_when_launched_and_as_often(library: Path) -> None:
    driver = ctypes.CDLL(str(library))
    stream, ran = ctypes.c_void_p(), []
    driver.cuStreamCreate(ctypes.byref(stream), 0)
    call = Call(lambda what: ran.append(1))
    graphs = GraphDriver(lambda name: driver)
    assert stream.value is not None
    graph = graphs.capture(
        stream.value, lambda: driver.stand_in_enqueue(stream, call, None) and None
    )
    driver.cuStreamSynchronize(stream)
    assert ran == []
    graphs.launch(graph, stream.value)
    graphs.launch(graph, stream.value)
    assert ran == []
    driver.cuStreamSynchronize(stream)
    assert ran == [1, 1]
    assert ctypes.c_int.in_dll(driver, "stand_in_graphs").value == 2
    graphs.close()
    assert ctypes.c_int.in_dll(driver, "stand_in_graphs").value == 0


def test_a_stream_that_is_being_captured_already_is_refused(library: Path) -> None:
    driver = ctypes.CDLL(str(library))
    stream = ctypes.c_void_p()
    driver.cuStreamCreate(ctypes.byref(stream), 0)
    graphs = GraphDriver(lambda name: driver)
    assert stream.value is not None
    handle = stream.value
    with pytest.raises(EngineError, match="cuStreamBeginCapture_v2 failed with CUDA error 1"):
        graphs.capture(handle, lambda: graphs.capture(handle, lambda: None) and None)
    graphs.close()


def test_the_engine_runs_on_pycuda(library: Path, tmp_path: Path) -> None:
    """The real pycuda; beneath it memory, streams and graphs of the stand-in."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("needs pycuda, which is built from source where CUDA's headers are")
    from models.export import export_network
    from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings

    export_network(EviHrnet(NetworkSettings(width=8, size_px=32)), tmp_path / "small.onnx", {})
    done = subprocess.run(
        [sys.executable, HERE / "pycuda_session.py", library, tmp_path / "small.onnx", "30"],
        env=os.environ
        | {
            "LD_LIBRARY_PATH": str(library.parent),
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), *sys.path]),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["equal"] == [True] * 31
    assert seen["launches"] == 31
    assert seen["left"] == [0, 0]  # everything was given back
