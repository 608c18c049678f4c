"""Which machine this is, as far as a budget cares."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from edge.profiler.nvml import open_nvml
from edge.timing import device_name

MODEL = Path("/proc/device-tree/model")  # boards with a device tree, such as Jetsons
JETSONS = {"orin nano": "orin-nano", "orin nx": "orin-nx", "agx orin": "orin-agx"}


def machine_facts() -> dict[str, Any]:
    """`kind` (orin-nano, orin-nx, orin-agx, gpu or cpu), `board`, `cores`, `processor`, `system`.

    `cores` are those that this process may use.
    """
    board = board_name()
    kind = jetson_kind(board)
    card = ""
    if not kind and (nvml := open_nvml()) is not None:
        kind, card = "gpu", nvml.card
        nvml.close()
    return {
        "kind": kind or "cpu",
        "board": board or card,
        "cores": usable_cores(),
        "processor": device_name(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def board_name(path: Path = MODEL) -> str:
    """The board's own name; empty on PCs."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\0\n")
    except OSError:
        return ""


def jetson_kind(board: str) -> str:
    """The budget's name for a Jetson; empty for anything else."""
    told = board.lower()
    return next((kind for words, kind in JETSONS.items() if words in told), "")
