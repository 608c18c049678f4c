"""Budgets: which key of the result may be how much, on which machine; pass or fail by line."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED_BUDGETS = Path(__file__).with_name("budgets.toml")
ORIGINS = ("planned", "measured")
SECTION_KEYS = {"about", "kind", "cores", "lines"}
LINE_KEYS = {"key", "most", "least", "origin"}


@dataclass(frozen=True)
class BudgetLine:
    """One limit; exactly one of `most` and `least` is set."""

    key: str  # dotted, of the result's JSON
    most: float | None
    least: float | None
    origin: str  # planned | measured


@dataclass(frozen=True)
class Budget:
    """All limits for one kind of machine."""

    name: str
    about: str
    kind: str
    cores: int
    lines: tuple[BudgetLine, ...]


@dataclass(frozen=True)
class Verdict:
    """One line against one result."""

    key: str
    value: float | None  # None: this run did not measure it
    limit: str  # such as "≤ 24"
    origin: str
    is_held: bool | None  # None without a value: neither passed nor failed


def load_budgets(path: Path = SHIPPED_BUDGETS) -> dict[str, Budget]:
    """Read a budget file.

    Raises:
        UserError: missing, not TOML, or with a section or line that cannot be understood.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the budget file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    return {name: _budget(name, section, path) for name, section in tree.items()}


def choose_budget(budgets: Mapping[str, Budget], machine: Mapping[str, Any]) -> Budget | None:
    """The budget for a machine (`machine_facts`): of its kind, for the most cores that it has."""
    fitting = [
        budget
        for budget in budgets.values()
        if budget.kind == machine["kind"] and budget.cores <= machine["cores"]
    ]
    return max(fitting, key=lambda budget: budget.cores, default=None)


def judge(budget: Budget, result: Mapping[str, Any]) -> list[Verdict]:
    """Hold a result against a budget."""
    return [_judged(line, value_at(result, line.key)) for line in budget.lines]


def verdict_tree(budget: Budget, verdicts: list[Verdict]) -> dict[str, Any]:
    """`budget` of the JSON. `is_held` is None while a line was not measured and none failed."""
    held = [verdict.is_held for verdict in verdicts]
    unknown = None if None in held else True
    return {
        "name": budget.name,
        "about": budget.about,
        "is_held": False if False in held else unknown,
        "lines": [dataclasses.asdict(verdict) for verdict in verdicts],
    }


def value_at(tree: Mapping[str, Any], key: str) -> float | None:
    """The number at a dotted key; None where there is none."""
    node: Any = tree
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    is_number = isinstance(node, (int, float)) and not isinstance(node, bool)
    return float(node) if is_number else None


def _judged(line: BudgetLine, value: float | None) -> Verdict:
    if line.most is not None:
        limit, is_held = f"≤ {line.most:g}", None if value is None else value <= line.most
    else:
        least = line.least or 0.0
        limit, is_held = f"≥ {least:g}", None if value is None else value >= least
    return Verdict(line.key, value, limit, line.origin, is_held)


def _budget(name: str, section: Any, path: Path) -> Budget:
    if not isinstance(section, Mapping) or set(section) - SECTION_KEYS or "kind" not in section:
        raise UserError(
            f"The section [{name}] in {path} is no budget.",
            f"It has kind, and of the others only these: {', '.join(sorted(SECTION_KEYS))}.",
        )
    lines = tuple(_line(line, f"[{name}] in {path}") for line in section.get("lines", []))
    about, cores = str(section.get("about", "")), int(section.get("cores", 1))
    return Budget(name, about, str(section["kind"]), cores, lines)


def _line(line: Any, origin: str) -> BudgetLine:
    advice = 'Write { key = "age_ms.p99", most = 100.0, origin = "planned" }, or `least`.'
    if not isinstance(line, Mapping) or set(line) - LINE_KEYS or "key" not in line:
        raise UserError(f"A line of {origin} cannot be understood: {line!r}.", advice)
    limits = [line.get(name) for name in ("most", "least")]
    numbers = [float(n) for n in limits if isinstance(n, (int, float)) and not isinstance(n, bool)]
    if len(numbers) != 1 or line.get("origin", "planned") not in ORIGINS:
        raise UserError(f"The line {line['key']!r} of {origin} has no single limit.", advice)
    most = numbers[0] if line.get("most") is not None else None
    least = numbers[0] if most is None else None
    return BudgetLine(str(line["key"]), most, least, str(line.get("origin", "planned")))
