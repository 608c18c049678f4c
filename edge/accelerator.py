"""The part of `unvisor doctor` about the GPU: driver, CUDA, TensorRT, pycuda, Jetson, engine.

Every absence is a note, never a failure: onnxruntime runs the network on the CPU.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.check import Check
from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.interface import EngineError
from models.engine.opening import BUILD_COMMAND
from models.engine.plans.library import TensorRt, find_tensorrt
from models.engine.plans.making import choose_precision
from models.engine.plans.manifest import identity_of
from models.engine.plans.store import EngineStore, Unusable
from models.shipped import SHIPPED_NETWORK, load_network
from models.weights_error import WeightsError

# JetPack by release of its Linux for Tegra, newest revision first.
JETPACKS = (
    ((39, 0), "7.2 or later"),
    ((38, 4), "7.1"),
    ((38, 2), "7.0"),
    ((36, 4, 4), "6.2.1"),
    ((36, 4, 3), "6.2"),
    ((36, 4, 0), "6.1"),
    ((36, 3), "6.0"),
)
RELEASE_FILE = "etc/nv_tegra_release"
NVIDIA_VENDOR, DISPLAY_CLASSES = "0x10de", ("0x0300", "0x0302")
PYCUDA_BUILD = (
    "PATH=/usr/local/cuda/bin:$PATH CUDA_ROOT=/usr/local/cuda CPATH=/usr/local/cuda/include "
    'LIBRARY_PATH=/usr/local/cuda/lib64 {python} -m pip install "pycuda>=2025.1"'
)
ORIN = "8.7"  # TensorRT-RTX knows no Jetson
Find = Callable[[str], object | None]


def check_accelerator(
    root: Path = Path("/"),
    *,
    gpu: Callable[[], Gpu | None] = find_gpu,
    tensorrt: Callable[[], TensorRt] = find_tensorrt,
    find: Find = importlib.util.find_spec,
    run: Callable[[str], str] | None = None,
) -> Iterator[Check]:
    """Everything between the network and the GPU, in the order in which it is needed."""
    release = jetson_release(root)
    found = gpu()
    yield _gpu(root, release, found)
    if release:
        yield _power_mode(run or _output)
    if found is None:
        return
    yield _tensorrt(root, bool(release), found, tensorrt)
    yield _pycuda(root, bool(release), find)
    yield check_engine(found, tensorrt)


def jetson_release(root: Path = Path("/")) -> tuple[int, ...]:
    """Linux for Tegra's version, such as (36, 4, 3); empty when this is no Jetson."""
    try:
        text = (root / RELEASE_FILE).read_text(errors="replace")
    except OSError:
        return ()
    told = re.search(r"R(\d+) \(release\), REVISION: (\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in told.groups() if part) if told else (0,)


def jetpack(release: tuple[int, ...]) -> str:
    """The JetPack that brought a release of Linux for Tegra."""
    return next((name for least, name in JETPACKS if release >= least), "5 or older")


def _gpu(root: Path, release: tuple[int, ...], gpu: Gpu | None) -> Check:
    if release:
        model = _text(root / "proc/device-tree/model") or "Jetson"
        version = ".".join(map(str, release))
        board = f"{model}, JetPack {jetpack(release)} (Linux for Tegra {version})"
        if gpu is None:
            fix = "sudo apt-get install -y nvidia-l4t-cuda, then restart"
            return Check("GPU", "optional", f"{board}, but its driver does not answer", fix)
        return Check("GPU", "ok", f"{board}, {_capabilities(gpu)}")
    if gpu is not None:
        told = re.search(r"Kernel Module\D*([\d.]+)", _text(root / "proc/driver/nvidia/version"))
        driver = f"driver {told.group(1)}, " if told else ""
        return Check("GPU", "ok", f"{gpu.name}, {driver}{_capabilities(gpu)}")
    if any(_is_nvidia_card(folder) for folder in root.glob("sys/bus/pci/devices/*")):
        fix = "sudo ubuntu-drivers install, then restart; in a container: docker run --gpus all"
        return Check("GPU", "optional", "an NVIDIA card without a working driver", fix)
    return Check("GPU", "optional", "none: onnxruntime runs the network on the CPU")


def _capabilities(gpu: Gpu) -> str:
    return f"compute capability {gpu.compute_capability}, CUDA up to {gpu.cuda}"


def _is_nvidia_card(folder: Path) -> bool:
    is_display = _text(folder / "class").startswith(DISPLAY_CLASSES)
    return is_display and _text(folder / "vendor") == NVIDIA_VENDOR


def _power_mode(run: Callable[[str], str]) -> Check:
    told = re.search(r"NV Power Mode: *(\S+)", run("nvpmodel -q"))
    if told is None:
        return Check("power mode", "optional", "nvpmodel does not tell it", "sudo nvpmodel -q")
    mode = told.group(1)
    if mode.startswith("MAXN"):
        return Check("power mode", "ok", mode)
    fix = "`sudo nvpmodel -p --verbose` lists the modes, `sudo nvpmodel -m NUMBER` chooses one"
    return Check("power mode", "optional", f"{mode}: not the fastest", fix)


def _tensorrt(root: Path, is_jetson: bool, gpu: Gpu, tensorrt: Callable[[], TensorRt]) -> Check:
    try:
        library = tensorrt()
    except EngineError as error:
        return Check("TensorRT", "optional", str(error), _tensorrt_fix(root, is_jetson, gpu))
    typing = "strongly typed" if library.is_strongly_typed else "builder flags"
    detail = f"{library.flavour} {library.version} ({typing})"
    if library.flavour == "tensorrt-rtx" and is_jetson:
        fix = _tensorrt_fix(root, is_jetson, gpu)
        return Check("TensorRT", "optional", f"{detail} builds for no Jetson", fix)
    return Check("TensorRT", "ok", detail)


def _tensorrt_fix(root: Path, is_jetson: bool, gpu: Gpu) -> str:
    if is_jetson or gpu.compute_capability == ORIN:
        system = "python3 -m venv --system-site-packages .venv, then make install"
        if any(root.glob("usr/lib/python3*/dist-packages/tensorrt")):
            return system
        return f"sudo apt-get install -y python3-libnvinfer; {system}"
    return f'{sys.executable} -m pip install -e ".[tensorrt-rtx]"'


def _pycuda(root: Path, is_jetson: bool, find: Find) -> Check:
    if find("pycuda") is not None:
        return Check("pycuda", "ok", "installed")
    fix = PYCUDA_BUILD.format(python=sys.executable)
    headers = (root / "usr/local/cuda/include/cuda.h", root / "usr/include/cuda.h")
    if not any(header.is_file() for header in headers):
        toolkit = "nvidia-jetpack" if is_jetson else "nvidia-cuda-toolkit"
        fix = f"sudo apt-get install -y {toolkit}; {fix}"
    return Check("pycuda", "optional", "not installed: TensorRT cannot be fed", fix)


def check_engine(
    gpu: Gpu, tensorrt: Callable[[], TensorRt] = find_tensorrt, store: EngineStore | None = None
) -> Check:
    """An engine of the shipped network for this GPU is ready."""
    try:
        network = load_network(SHIPPED_NETWORK)
        wanted = identity_of(network, choose_precision(network), tensorrt(), gpu)
        manifest = (EngineStore() if store is None else store).load(wanted).manifest
    except (EngineError, WeightsError):
        return Check("engine", "optional", "none, for the reasons above")
    except Unusable as reason:
        return Check("engine", "optional", f"none fits: {reason}", BUILD_COMMAND)
    told = "not tried yet" if manifest.latency_ms is None else f"{manifest.latency_ms} ms a step"
    return Check("engine", "ok", f"{wanted.precision}, {told}")


def _output(command: str) -> str:
    """What a program prints; empty when it is missing or fails."""
    program, *arguments = command.split()
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().rstrip("\0")
    except OSError:
        return ""
