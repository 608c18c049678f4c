"""What the machine tells: tegrastats, NVML, Linux' own files; none of them needs to exist."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.profiler import tegrastats as tegrastats_module
from edge.profiler.machine import board_name, jetson_kind
from edge.profiler.nvml import Nvml
from edge.profiler.processes import busy_seconds, usage_of
from edge.profiler.sensors import LinuxSensor, Sensors
from edge.profiler.tegrastats import Tegrastats, parse_line, parse_mode

# The formats of tegrastats, one line per board and release.
ORIN_NANO = (
    "03-14-2025 16:02:11 RAM 3187/7620MB (lfb 9x4MB) SWAP 12/3810MB (cached 0MB) "
    "CPU [41%@1510,33%@1510,22%@1728,8%@1510,off,off] EMC_FREQ 18%@2133 GR3D_FREQ 61%@[624] "
    "NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 cpu@50.968C soc2@48.437C "
    "soc0@47.75C gpu@51.343C tj@51.343C soc1@48.656C "
    "VDD_IN 8942mW/8130mW VDD_CPU_GPU_CV 4210mW/3880mW VDD_SOC 2115mW/2006mW"
)
AGX_ORIN = (
    "04-24-2025 00:01:24 RAM 18207/62841MB (lfb 466x4MB) SWAP 86/31420MB (cached 0MB) "
    "CPU [14%@2188,5%@2112,8%@2035,14%@2201,46%@1267,47%@1267,2%@1267,10%@1267] EMC_FREQ 3%@2133 "
    "GR3D_FREQ 35%@[1300,1300] VIC_FREQ 729 APE 174 CV0@-256C CPU@52.562C Tboard@32C "
    "SOC2@48.437C GPU@-256C tj@52.562C VDD_GPU_SOC 2412mW/2412mW VDD_CPU_CV 1607mW/1607mW "
    "VIN_SYS_5V0 4707mW/4707mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
XAVIER_NX = (
    "RAM 2673/7765MB (lfb 118x4MB) SWAP 0/3883MB (cached 0MB) CPU [12%@1190,8%@1190,off,off] "
    "EMC_FREQ 7% GR3D_FREQ 33% AO@35C GPU@33C AUX@33.5C CPU@36.5C thermal@33.9C "
    "VDD_IN 3902/3611 VDD_CPU_GPU_CV 1331/1180 VDD_SOC 997/941"
)
WITH_PEAKS = (
    "10-01-2026 20:36:32 RAM 974/7546MB (lfb 6x4MB) CPU [0%@729,4%@883] GR3D_FREQ 12% "
    "cpu@49.843C/50.1C tj@50.875C/51.2C VDD_IN 4548mW/4548mW/4600mW VDD_SOC 1489mW/1489mW/1500mW"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            ORIN_NANO,
            {
                "ram_used_mib": 3187,
                "cpu_percent": 26,
                "cpu_mhz": 1728,
                "gpu_percent": 61,
                "gpu_mhz": 624,
                "temperature_c": 51.343,
                "power_w": 8.942,
                "power_vdd_soc_w": 2.115,
            },
        ),
        (AGX_ORIN, {"gpu_percent": 35, "temperature_c": 52.562, "power_w": 8.726}),
        (XAVIER_NX, {"gpu_percent": 33, "temperature_c": 36.5, "power_w": 3.902}),
        (WITH_PEAKS, {"gpu_percent": 12, "temperature_c": 50.875, "power_w": 4.548}),
    ],
    ids=["orin-nano", "agx-orin", "xavier-nx", "with-peaks"],
)
def test_a_line_of_every_board_is_understood(line: str, expected: dict[str, float]) -> None:
    readings = parse_line(line)
    assert {name: readings[name] for name in expected} == pytest.approx(expected)


def test_what_a_line_does_not_tell_is_left_out() -> None:
    assert parse_line("") == {}
    assert parse_line("tegrastats: permission denied") == {}
    assert "gpu_mhz" not in parse_line(XAVIER_NX)


@pytest.mark.parametrize(
    ("told", "mode"),
    [("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"), ("NV Power Mode: 15W\n0", "15W"), ("", "")],
)
def test_the_power_mode_is_read(told: str, mode: str) -> None:
    assert parse_mode(told) == mode


def test_a_running_tegrastats_is_followed_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("tegrastats", f"while :; do echo '{ORIN_NANO}'; sleep 0.05; done"),
        ("nvpmodel", "echo 'NV Power Mode: 25W'; echo 1"),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sensor = Tegrastats.open()
    assert sensor is not None
    deadline = time.monotonic() + 20
    while not sensor.read() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sensor.read()["power_w"] == pytest.approx(8.942)
    assert sensor.power_mode == "25W"
    sensor.close()
    assert sensor._process.returncode is not None


def test_no_tegrastats_is_no_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tegrastats_module.shutil, "which", lambda name: None)
    assert Tegrastats.open() is None


class _NvmlError(Exception):
    pass


def _library(**changes: Any) -> SimpleNamespace:
    """Stands in for `pynvml` as it is on a machine with a card."""

    def refuse(*_: Any) -> float:
        raise _NvmlError("not supported")

    calls: dict[str, Any] = {
        "NVMLError": _NvmlError,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_CLOCK_SM": 1,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda card: b"NVIDIA GeForce RTX 4070",
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=42, memory=9),
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=3 * 2**30),
        "nvmlDeviceGetPowerUsage": lambda card: 95_500,
        "nvmlDeviceGetTemperature": lambda card, which: 61,
        "nvmlDeviceGetClockInfo": lambda card, which: 2475,
        "nvmlDeviceGetPerformanceState": refuse,
        "nvmlDeviceGetPowerManagementLimit": lambda card: 200_000,
    }
    return SimpleNamespace(**(calls | changes))


def test_a_graphics_card_tells_what_it_can() -> None:
    sensor = Nvml(_library())
    assert sensor.read() == {
        "gpu_percent": 42,
        "gpu_memory_mib": 3072,
        "power_w": 95.5,
        "temperature_c": 61,
        "gpu_mhz": 2475,
    }
    assert (sensor.card, sensor.power_mode) == ("NVIDIA GeForce RTX 4070", "power limit 200 W")


def test_linux_tells_clock_heat_energy_and_governor(tmp_path: Path) -> None:
    files = {
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2500000",
        "devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
        "class/thermal/thermal_zone0/temp": "41000",
        "class/thermal/thermal_zone1/temp": "55500",
        "class/powercap/intel-rapl:0/name": "package-0\n",
        "class/powercap/intel-rapl:0/energy_uj": "1000000",
        "class/powercap/intel-rapl:1/name": "psys\n",  # the board, the package in it
        "class/powercap/intel-rapl:1/energy_uj": "1000000",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    sensor = LinuxSensor(tmp_path)
    assert sensor.read() == {"cpu_mhz": 2000, "temperature_c": 55.5}
    assert sensor.power_mode == "governor schedutil"
    time.sleep(0.05)
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").write_text("2000000")
    (tmp_path / "class/powercap/intel-rapl:1/energy_uj").write_text("900000000")
    assert 0 < sensor.read()["cpu_power_w"] <= 20  # one joule in at least 50 ms
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").write_text("5")  # it began anew
    assert "cpu_power_w" not in sensor.read()


def test_a_machine_that_tells_nothing_is_measured_all_the_same(tmp_path: Path) -> None:
    with Sensors([LinuxSensor(tmp_path)]) as sensors:
        assert sensors.read() == {}
        assert sensors.power_mode == ""


@pytest.mark.parametrize(
    ("board", "kind"),
    [
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "orin-nano"),
        ("NVIDIA Orin NX Developer Kit", "orin-nx"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "orin-agx"),
        ("Raspberry Pi 5 Model B Rev 1.0", ""),
        ("", ""),
    ],
)
def test_jetsons_are_known_by_their_boards(board: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_text(board + "\0")
    assert board_name(tmp_path / "model") == board
    assert jetson_kind(board) == kind


def test_a_process_and_its_threads_are_read_from_proc(tmp_path: Path) -> None:
    fields = ["S", "1", *["0"] * 9, "250", "50", *["0"] * 30]
    folder = tmp_path / "7"
    for thread in ("7", "8"):
        (folder / "task" / thread).mkdir(parents=True)
        (folder / "task" / thread / "stat").write_text(f"{thread} (a) b) {' '.join(fields)}")
    (folder / "task" / "7" / "schedstat").write_text("1500000000 12 3\n")
    (folder / "stat").write_text(f"7 (a) b) {' '.join(fields)}")
    (folder / "statm").write_text("1000 512 3 4 0 6 0")
    (tmp_path / "stat").write_text("cpu  100 0 50 9999 77 0 10 0 0 0\ncpu0 1 2 3\n")
    usage = usage_of(7, tmp_path)
    assert usage is not None
    assert usage.cpu_s == pytest.approx(3.0)
    assert usage.threads_cpu_s == pytest.approx({7: 1.5, 8: 3.0})
    assert usage.rss_mib == pytest.approx(2.0)
    assert busy_seconds(tmp_path) == pytest.approx(1.6)
    assert usage_of(9, tmp_path) is None
    assert busy_seconds(tmp_path / "nothing") is None
