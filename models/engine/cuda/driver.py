"""What the NVIDIA driver says about the first GPU, asked of libcuda directly: needs no package."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIBRARY = "libcuda.so.1"
# CUdevice_attribute in cuda.h
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    name: str
    compute_capability: str  # "8.7"
    cuda: str  # newest CUDA version that the driver supports, "12.6"


def find_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> Gpu | None:
    """The first GPU; None without a driver or a card."""
    try:
        driver = load(LIBRARY)
    except OSError:
        return None
    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if (
        driver.cuInit(0)
        or driver.cuDeviceGetCount(ctypes.byref(count))
        or not count.value
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDriverGetVersion(ctypes.byref(version))
    ):
        return None
    name = ctypes.create_string_buffer(NAME_BYTES)
    driver.cuDeviceGetName(name, NAME_BYTES, device)
    major, minor = (
        _attribute(driver, which, device)
        for which in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR)
    )
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}", cuda)


def _attribute(driver: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value
