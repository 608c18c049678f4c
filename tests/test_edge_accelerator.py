"""What doctor says of the GPU, on machines made of files: each absence with its exact fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.accelerator import check_accelerator, check_engine, jetpack, jetson_release
from edge.check import Check
from models.engine.cuda.driver import Gpu
from models.engine.interface import EngineError
from models.engine.plans.library import TensorRt
from models.engine.plans.manifest import EngineManifest, identity_of
from models.engine.plans.store import EngineStore
from models.shipped import SHIPPED_NETWORK, load_network

ORIN = Gpu("Orin", "8.7", "12.6")
RTX = Gpu("NVIDIA GeForce RTX 4070", "8.9", "13.0")
RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
JETPACK_6 = TensorRt(SimpleNamespace(), "tensorrt", "10.3.0")
FOR_RTX = TensorRt(SimpleNamespace(), "tensorrt-rtx", "1.7.1.116")


def machine(folder: Path, **files: str) -> Path:
    """A root folder with files; in names __ stands for a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def jetson(folder: Path) -> Path:
    root = machine(folder, etc__nv_tegra_release=RELEASE)
    model = root / "proc/device-tree/model"
    model.parent.mkdir(parents=True)
    model.write_text("NVIDIA Jetson Orin Nano Developer Kit\0")
    return root


def missing(reason: str) -> Callable[[], TensorRt]:
    def find() -> TensorRt:
        raise EngineError(reason)

    return find


def checks(root: Path, gpu: Gpu | None, **more: object) -> dict[str, Check]:
    known: dict[str, object] = {
        "gpu": lambda: gpu,
        "tensorrt": missing("no module named tensorrt"),
        "find": lambda name: None,
        "run": lambda command: "NV Power Mode: MAXN_SUPER\n2\n",
    }
    found = check_accelerator(root, **(known | more))  # type: ignore[arg-type]
    return {check.name: check for check in found}


def test_without_a_gpu_nothing_is_asked_for(tmp_path: Path) -> None:
    assert list(checks(tmp_path, None)) == ["GPU"]
    assert checks(tmp_path, None)["GPU"] == Check(
        "GPU", "optional", "none: onnxruntime runs the network on the CPU"
    )


def test_a_card_without_a_driver_names_the_command(tmp_path: Path) -> None:
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030000\n")
    check = checks(tmp_path, None)["GPU"]
    assert (check.detail, "ubuntu-drivers" in check.fix) == (
        "an NVIDIA card without a working driver",
        True,
    )
    (card / "class").write_text("0x040300\n")  # only its loudspeaker
    assert not checks(tmp_path, None)["GPU"].fix


def test_a_desktop_card_tells_driver_cuda_and_the_two_packages(tmp_path: Path) -> None:
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.82.07  Wed Aug 27 2025\n"
    found = checks(machine(tmp_path, proc__driver__nvidia__version=version), RTX)
    assert found["GPU"].detail == (
        "NVIDIA GeForce RTX 4070, driver 580.82.07, compute capability 8.9, CUDA up to 13.0"
    )
    assert found["TensorRT"].fix.endswith('-m pip install -e ".[tensorrt-rtx]"')
    assert "apt-get install -y nvidia-cuda-toolkit" in found["pycuda"].fix
    assert {check.state for check in found.values()} == {"ok", "optional"}
    header = machine(tmp_path, usr__include__cuda_h="")
    (header / "usr/include/cuda_h").rename(header / "usr/include/cuda.h")
    again = checks(header, RTX, tensorrt=lambda: FOR_RTX)
    assert again["TensorRT"].detail == "tensorrt-rtx 1.7.1.116 (strongly typed)"
    assert again["pycuda"].fix.startswith("PATH=/usr/local/cuda/bin")


def test_a_jetson_tells_jetpack_and_power_mode(tmp_path: Path) -> None:
    found = checks(jetson(tmp_path), ORIN, tensorrt=lambda: JETPACK_6, find=lambda name: name)
    assert found["GPU"].detail == (
        "NVIDIA Jetson Orin Nano Developer Kit, JetPack 6.2 (Linux for Tegra 36.4.3), "
        "compute capability 8.7, CUDA up to 12.6"
    )
    assert found["power mode"] == Check("power mode", "ok", "MAXN_SUPER")
    assert found["TensorRT"].detail == "tensorrt 10.3.0 (builder flags)"
    assert found["pycuda"].state == "ok"


def test_a_slow_power_mode_names_the_commands(tmp_path: Path) -> None:
    found = checks(jetson(tmp_path), ORIN, run=lambda command: "NV Power Mode: 15W\n0\n")
    assert found["power mode"].detail == "15W: not the fastest"
    assert "nvpmodel -m" in found["power mode"].fix
    untold = checks(tmp_path, ORIN, run=lambda command: "")["power mode"]
    assert untold.fix == "sudo nvpmodel -q"


def test_jetpacks_tensorrt_outside_the_environment_is_told_from_none(tmp_path: Path) -> None:
    root = jetson(tmp_path)
    fix = checks(root, ORIN)["TensorRT"].fix
    assert fix.startswith("sudo apt-get install -y python3-libnvinfer; ")
    (root / "usr/lib/python3.10/dist-packages/tensorrt").mkdir(parents=True)
    fix = checks(root, ORIN)["TensorRT"].fix
    assert fix == "python3 -m venv --system-site-packages .venv, then make install"
    wrong = checks(root, ORIN, tensorrt=lambda: FOR_RTX)["TensorRT"]
    assert (wrong.state, "builds for no Jetson" in wrong.detail) == ("optional", True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("# R36 (release), REVISION: 3.0, GCID: 1", "6.0"),
        ("# R36 (release), REVISION: 4.0, GCID: 1", "6.1"),
        ("# R36 (release), REVISION: 4.7, GCID: 1", "6.2.1"),
        ("# R36 (release), REVISION: 5.0, GCID: 1", "6.2.1"),
        ("# R38 (release), REVISION: 2.1, GCID: 1", "7.0"),
        ("# R38 (release), REVISION: 4.0, GCID: 1", "7.1"),
        ("# R39 (release), REVISION: 0.0, GCID: 1", "7.2 or later"),
        ("# R35 (release), REVISION: 4.1, GCID: 1", "5 or older"),
        ("something else", "5 or older"),
    ],
)
def test_linux_for_tegra_names_its_jetpack(text: str, name: str, tmp_path: Path) -> None:
    assert jetpack(jetson_release(machine(tmp_path, etc__nv_tegra_release=text))) == name


def test_the_engine_is_found_or_the_command_named(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    check = check_engine(RTX, lambda: FOR_RTX, store)
    assert (check.detail, check.fix) == (
        "none fits: none was built yet",
        "unvisor build-engine",
    )
    identity = identity_of(load_network(SHIPPED_NETWORK), "fp16", FOR_RTX, RTX)
    digest = "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"
    store.save(bytes(range(256)), EngineManifest(identity, digest, 256, 1.0, "", 61.5, 0.8))
    check = check_engine(RTX, lambda: FOR_RTX, store)
    assert (check.state, check.detail) == ("ok", "fp16, 0.8 ms a step")
    newer = Gpu(RTX.name, RTX.compute_capability, "14.0")  # a driver update changes no engine
    assert check_engine(newer, lambda: FOR_RTX, store).state == "ok"
    other = check_engine(ORIN, lambda: FOR_RTX, store).detail
    assert "GPU NVIDIA GeForce RTX 4070 instead of Orin" in other
