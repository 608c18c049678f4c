"""Two results side by side: what became slower, and by how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.profiler.budget import value_at
from streaming.errors import UserError

SAME = 0.05  # ratios nearer to 1 are noise: neither slower nor faster
LEAST_MS = 0.5  # a change of less is not worth a failure, however large the ratio
HIGHER_IS_BETTER = ("fps", "capacity_fps")
SPEED_KEYS = (*HIGHER_IS_BETTER, "age_ms.p50", "age_ms.p99")
SAME_SETTINGS = ("device", "filler", "network", "landmarks", "size_px")


@dataclass(frozen=True)
class Change:
    """One figure in both results."""

    key: str
    before: float
    after: float

    @property
    def slowdown(self) -> float:
        """Above 1 = became slower (or costs more), whichever way the figure counts."""
        is_reversed = self.key in HIGHER_IS_BETTER
        good, bad = (self.after, self.before) if is_reversed else (self.before, self.after)
        return bad / good if good > 0 else 1.0

    @property
    def verdict(self) -> str:
        """`slower`, `faster` or nothing to speak of."""
        if abs(self.slowdown - 1) <= SAME or self._is_small:
            return ""
        return "slower" if self.slowdown > 1 else "faster"

    def is_failure(self, allowed: float) -> bool:
        """Whether it became slower by more than a share, 0.1 = 10 %."""
        return not self._is_small and self.slowdown > 1 + allowed

    @property
    def _is_small(self) -> bool:
        return self.key not in HIGHER_IS_BETTER and abs(self.after - self.before) < LEAST_MS


def load_result(path: Path) -> dict[str, Any]:
    """Read a result of `unvisor profile`, `demo` or `run --report`.

    Raises:
        UserError: it is none.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.") from error
    if not isinstance(tree, dict) or "stages_ms" not in tree:
        raise UserError(
            f"{path} is no result of `unvisor profile`.", "Give it the profile.json of two runs."
        )
    return tree


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Every figure that both results have: speed, age, stages (p50 and p99), core-ms."""
    stages = [name for name in before["stages_ms"] if name in after["stages_ms"]]
    keys = [*SPEED_KEYS]
    keys += [f"stages_ms.{name}.{point}" for name in stages for point in ("p50", "p99")]
    keys += [f"core_ms.{name}" for name in before.get("core_ms", {})]
    pairs = ((key, value_at(before, key), value_at(after, key)) for key in keys)
    return [Change(key, old, new) for key, old, new in pairs if old is not None and new is not None]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What makes the two hard to compare: another device, filler, tracker or size."""
    return [
        f"{key}: {before.get(key)} / {after.get(key)}"
        for key in SAME_SETTINGS
        if before.get(key) != after.get(key)
    ]


def failures(changes: list[Change], allowed: float) -> list[Change]:
    """Medians and costs that became slower by more than `allowed`; tails are too noisy to fail."""
    return [c for c in changes if not c.key.endswith(".p99") and c.is_failure(allowed)]


def read_share(text: str) -> float:
    """A share such as "10%" or "0.1".

    Raises:
        UserError: it is neither, or negative.
    """
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise UserError(f"{text!r} is no share.", "Write --fail-over 10%.")
    return share
