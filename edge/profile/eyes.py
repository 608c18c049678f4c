"""One eye's calibration and its JSON form, which has a version of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True)
class EyeCalibration:
    """How far one eye opens, and where its iris rests, as shares of the eye's width."""

    closed: float = 0.08  # lid gap / corner distance
    open: float = 0.28
    rest: tuple[float, float] = (0.0, 0.0)  # iris centre from the corners' middle, (x, y)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads."""
        return {"version": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EyeCalibration:
        """Read what `to_json` wrote, and the documents of profiles of schema 1 (no version).

        Raises:
            KeyError, TypeError, ValueError: the document does not fit.
        """
        version = document.get("version", VERSION)
        if version != VERSION:
            raise ValueError(f"eye calibration of version {version}, not {VERSION}")
        x, y = document["rest"]
        return cls(float(document["closed"]), float(document["open"]), (float(x), float(y)))
