"""What the machine tells about itself: graphics processor, power, temperature, clocks, power mode.

A sensor is looked for in turn: a Jetson's `tegrastats`, NVIDIA's management library on a desktop,
and what Linux itself tells. None of them needs to be there.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edge.profiler.nvml import open_nvml
from edge.profiler.tegrastats import Tegrastats

Readings = dict[str, float]  # name with its unit, such as gpu_percent, power_w, temperature_c
SYSTEM = Path("/sys")


class Sensor(Protocol):
    """One source of readings."""

    name: str
    power_mode: str  # as the machine calls it; empty = not told

    def read(self) -> Readings:
        """Return the newest readings; empty while there are none. Must not block."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Sensors:
    """Every sensor of this machine; use as a context manager."""

    def __init__(self, sensors: list[Sensor] | None = None) -> None:
        """Open what is there; `sensors` replaces the search."""
        self._sensors = open_sensors() if sensors is None else sensors

    def __enter__(self) -> Sensors:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all."""
        with ExitStack() as stack:
            for sensor in self._sensors:
                stack.callback(sensor.close)

    @property
    def names(self) -> list[str]:
        """Who is asked."""
        return [sensor.name for sensor in self._sensors]

    @property
    def power_mode(self) -> str:
        """The first that is told; empty = none."""
        return next((s.power_mode for s in self._sensors if s.power_mode), "")

    def read(self) -> Readings:
        """All readings; of two sensors with the same reading the earlier one counts."""
        readings: Readings = {}
        for sensor in reversed(self._sensors):
            readings.update(sensor.read())
        return readings


def open_sensors() -> list[Sensor]:
    """The sensors of this machine, the best one first."""
    found = (Tegrastats.open(), open_nvml(), LinuxSensor())
    return [sensor for sensor in found if sensor is not None]


class LinuxSensor:
    """Clock, temperature and, where it may be read, the processor's own count of its energy."""

    name = "linux"

    def __init__(self, system: Path = SYSTEM) -> None:
        """Look for the files below `system`."""
        cpus = system / "devices/system/cpu"
        self._clocks = sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        self._zones = sorted(system.glob("class/thermal/thermal_zone*/temp"))
        self._energies = _packages(system / "class/powercap")
        self._last: tuple[float, float] | None = None
        governor = _text(cpus / "cpu0/cpufreq/scaling_governor")
        self.power_mode = f"governor {governor}" if governor else ""

    def read(self) -> Readings:
        """See `Sensor`."""
        readings: Readings = {}
        clocks = _numbers(self._clocks)
        if clocks:
            readings["cpu_mhz"] = sum(clocks) / len(clocks) / 1e3
        zones = [degrees / 1e3 for degrees in _numbers(self._zones)]
        if zones:
            readings["temperature_c"] = max(zones)
        watts = self._watts()
        if watts is not None:
            readings["cpu_power_w"] = watts
        return readings

    def close(self) -> None:
        """Nothing to free."""

    def _watts(self) -> float | None:
        counts = _numbers(self._energies)
        if not counts:
            return None
        now, last = (time.monotonic(), sum(counts) / 1e6), self._last
        self._last = now
        if last is None or now[0] <= last[0] or now[1] < last[1]:  # the count begins anew at times
            return None
        return (now[1] - last[1]) / (now[0] - last[0])


def _packages(powercap: Path) -> list[Path]:
    """Intel's and AMD's RAPL, one file per package; often for the superuser only.

    Laptops count the whole board beside them (`psys`), with the packages in it.
    """
    domains = sorted(powercap.glob("intel-rapl:[0-9]"))
    return [each / "energy_uj" for each in domains if _text(each / "name").startswith("package")]


def _numbers(paths: list[Path]) -> list[float]:
    found = []
    for path in paths:
        try:
            found.append(float(path.read_text()))
        except (OSError, ValueError):
            continue
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
