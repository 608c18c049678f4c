"""Settings records from plain mappings: unknown keys and wrong values are refused with advice."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from streaming.errors import UserError

Record = TypeVar("Record")

WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
}


@dataclasses.dataclass(frozen=True)
class Within:
    """What a number may be; a field says it as `Annotated[int, Within(1, 100)]`."""

    least: float
    most: float

    def check(self, value: float, origin: str) -> None:
        """Raise `UserError` for a value beyond, not-a-number included."""
        if not self.least <= value <= self.most:
            raise UserError(f"{origin} must be from {self.least:g} to {self.most:g}, not {value}.")


def from_mapping(record: type[Record], tree: Mapping[str, Any], origin: str) -> Record:
    """Build a settings record from nested mappings; unknown keys and wrong values are errors."""
    hints = typing.get_type_hints(record, include_extras=True)
    unknown = sorted(set(tree) - set(hints))
    if unknown:
        raise UserError(
            f"Unknown key {unknown[0]!r} in {origin}; known here: {', '.join(sorted(hints))}."
        )
    values = {key: _checked(hints[key], tree[key], f"{origin}: {key}") for key in tree}
    return record(**values)


def _checked(hint: Any, value: Any, origin: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UserError(f"{origin} must be a section, not {value!r}.")
        return from_mapping(hint, value, origin)
    if typing.get_origin(hint) is Annotated:
        kind, *limits = typing.get_args(hint)
        number = _checked(kind, value, origin)
        for limit in limits:
            limit.check(number, origin)
        return number
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UserError(f"{origin} must be one of {', '.join(choices)}, not {value!r}.")
        return value
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{origin} must be a section, not {value!r}.")
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise UserError(f"{origin} must be a number of fewer digits.") from error
    if type(value) is not hint:
        raise UserError(f"{origin} must be {WORDS.get(hint, hint.__name__)}, not {value!r}.")
    return value
