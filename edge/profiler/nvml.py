"""NVIDIA's management library on a desktop, through `nvidia-ml-py` where it is installed."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

MIB = 2**20


class Nvml:
    """The first graphics card."""

    name = "nvml"

    def __init__(self, library: Any) -> None:
        """`library` is the module `pynvml`, or what stands in for it; raises its error."""
        self._library = library
        library.nvmlInit()
        self._card = library.nvmlDeviceGetHandleByIndex(0)
        name = library.nvmlDeviceGetName(self._card)
        self.card = name.decode() if isinstance(name, bytes) else str(name)
        self.power_mode = self._limit()

    def read(self) -> dict[str, float]:
        """Load, memory, power, temperature, clock and performance state (0 = fastest)."""
        library, card = self._library, self._card
        asked: dict[str, Callable[[], float]] = {
            "gpu_percent": lambda: library.nvmlDeviceGetUtilizationRates(card).gpu,
            "gpu_memory_mib": lambda: library.nvmlDeviceGetMemoryInfo(card).used / MIB,
            "power_w": lambda: library.nvmlDeviceGetPowerUsage(card) / 1e3,
            "temperature_c": lambda: library.nvmlDeviceGetTemperature(
                card, library.NVML_TEMPERATURE_GPU
            ),
            "gpu_mhz": lambda: library.nvmlDeviceGetClockInfo(card, library.NVML_CLOCK_SM),
            "gpu_state": lambda: library.nvmlDeviceGetPerformanceState(card),
        }
        readings: dict[str, float] = {}
        for name, ask in asked.items():
            try:
                readings[name] = float(ask())
            except library.NVMLError:  # this card does not tell that
                continue
        return readings

    def close(self) -> None:
        """Leave the library."""
        self._library.nvmlShutdown()

    def _limit(self) -> str:
        try:
            watts = self._library.nvmlDeviceGetPowerManagementLimit(self._card) / 1e3
        except self._library.NVMLError:
            return ""
        return f"power limit {watts:.0f} W"


def open_nvml() -> Nvml | None:
    """The card, where the library and a driver are; else None."""
    try:
        library = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        return Nvml(library)
    except library.NVMLError as error:
        log.info("no graphics card through NVML: %s", error)
        return None
