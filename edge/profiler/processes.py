"""What a process and each of its threads have used so far, from Linux' /proc; nothing elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Usage:
    """One process at one instant."""

    cpu_s: float  # all its threads since it began, also those that have ended
    rss_mib: float
    threads_cpu_s: dict[int, float]  # of each running thread, by the system's id


def usage_of(process_id: int, proc: Path = PROC) -> Usage | None:
    """What the process has used; None when it is gone or this system does not tell."""
    folder = proc / str(process_id)
    try:
        cpu_s = _cpu_s(folder / "stat")
        rss_mib = int((folder / "statm").read_text().split()[1]) * PAGE_MIB
        names = os.listdir(folder / "task")
    except (OSError, ValueError, IndexError):
        return None
    return Usage(cpu_s, rss_mib, _threads(folder / "task", names))


def busy_seconds(proc: Path = PROC) -> float | None:
    """CPU seconds that all processes of this machine have used since it started; None = unknown."""
    try:
        fields = (proc / "stat").read_text().splitlines()[0].split()[1:]
        user, nice, system, _idle, _iowait, irq, soft = (int(field) for field in fields[:7])
    except (OSError, ValueError, IndexError):
        return None
    return (user + nice + system + irq + soft) / TICKS_PER_S


def _threads(folder: Path, names: list[str]) -> dict[int, float]:
    found: dict[int, float] = {}
    for name in names:
        try:
            found[int(name)] = _thread_s(folder / name)
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue
    return found


def _thread_s(folder: Path) -> float:
    """To the nanosecond where the kernel keeps scheduling statistics, else to 10 ms."""
    try:
        return int((folder / "schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return _cpu_s(folder / "stat")


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()  # the name before may hold blanks
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
