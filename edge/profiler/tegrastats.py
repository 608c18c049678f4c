"""NVIDIA's `tegrastats` on a Jetson: load, memory, temperatures and power rails, line by line.

https://docs.nvidia.com/jetson/archives/r36.3/DeveloperGuide/AT/JetsonLinuxDevelopmentTools/TegrastatsUtility.html
Boards and releases differ: rails carry their unit from JetPack 5 on, Orin Nano and NX have the
board's input as VDD_IN, AGX Orin has three rails that add up to it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from typing import IO

INTERVAL_MS = 500
ABSENT_C = -200.0  # a sensor that is switched off shows -256 °C
INPUT_RAILS = ("VDD_IN", "POM_5V_IN")  # of the whole board
AGX_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")

RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
CORES = re.compile(r"\bCPU \[([^\]]+)\]")
CORE = re.compile(r"(\d+)%@(\d+)")
GPU = re.compile(r"\bGR3D_FREQ (\d+)%(?:@\[?(\d+))?")
HEAT = re.compile(r"\b(\w+)@(-?[\d.]+)C")
RAIL = re.compile(r"\b((?:VDD|VIN|POM)_\w+) (\d+)(?:mW)?/")
MODE = re.compile(r"NV Power Mode:\s*(\S+)")


def parse_line(line: str) -> dict[str, float]:
    """Readings of one line; what the line does not tell is left out.

    `gpu_percent`, `gpu_mhz`, `cpu_percent` (mean over the cores that are on), `cpu_mhz`,
    `ram_used_mib`, `temperature_c` (junction, else the hottest), `power_w` (board),
    `power_RAIL_w` for each rail.
    """
    readings: dict[str, float] = {}
    if ram := RAM.search(line):
        readings["ram_used_mib"] = float(ram[1])
    if cores := CORES.search(line):
        loads = [(float(load), float(clock)) for load, clock in CORE.findall(cores[1])]
        if loads:
            readings["cpu_percent"] = sum(load for load, _ in loads) / len(loads)
            readings["cpu_mhz"] = max(clock for _, clock in loads)
    if gpu := GPU.search(line):
        readings["gpu_percent"] = float(gpu[1])
        if gpu[2]:
            readings["gpu_mhz"] = float(gpu[2])
    heats = {name.lower(): float(c) for name, c in HEAT.findall(line) if float(c) > ABSENT_C}
    if heats:
        readings["temperature_c"] = heats.get("tj", max(heats.values()))
    return readings | _power(line)


def parse_mode(text: str) -> str:
    """The name of the power mode in what `nvpmodel -q` says; empty = not told."""
    found = MODE.search(text)
    return found[1] if found else ""


class Tegrastats:
    """A running `tegrastats`; `read` gives its newest line."""

    name = "tegrastats"

    def __init__(self, program: str, power_mode: str = "") -> None:
        """Start the program."""
        self.power_mode = power_mode
        self._newest: dict[str, float] = {}
        self._process = subprocess.Popen(
            [program, "--interval", str(INTERVAL_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stream = self._process.stdout
        self._reader = threading.Thread(
            target=self._follow, args=(stream,), name="tegrastats", daemon=True
        )
        self._reader.start()

    @classmethod
    def open(cls) -> Tegrastats | None:
        """Start it where it is installed, which is on Jetsons; else None."""
        program = shutil.which("tegrastats")
        if program is None:
            return None
        try:
            return cls(program, _power_mode())
        except OSError:
            return None

    def read(self) -> dict[str, float]:
        """Return the newest line's readings; empty before the first."""
        return dict(self._newest)

    def close(self) -> None:
        """Stop the program."""
        self._process.terminate()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)

    def _follow(self, stream: IO[str] | None) -> None:
        for line in stream or ():
            self._newest = parse_line(line)


def _power(line: str) -> dict[str, float]:
    rails = {name: float(milliwatts) / 1e3 for name, milliwatts in RAIL.findall(line)}
    readings = {f"power_{name.lower()}_w": watts for name, watts in rails.items()}
    for name in INPUT_RAILS:
        if name in rails:
            return readings | {"power_w": rails[name]}
    if all(name in rails for name in AGX_RAILS):
        readings["power_w"] = sum(rails[name] for name in AGX_RAILS)
    return readings


def _power_mode() -> str:
    program = shutil.which("nvpmodel")
    if program is None:
        return ""
    try:
        told = subprocess.run(
            [program, "-q"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return parse_mode(told.stdout)
