"""Optional parts of a profile: how each is kept, and the table of which class each one is.

To add a part, give its dataclass `to_part()` and `from_part()` beside it, name it in `PARTS`, and
give `SessionProfile` a field of that name, None by default. Nothing else writes or reads files.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Name of the part = field of SessionProfile -> "module:class", imported when a profile has it.
PARTS = {
    "identity": "edge.identity.face_print:IdentityPrint",
    "camera": "edge.lens.lens:CalibratedLens",
    "network": "edge.profile.own_network:OwnNetwork",
    "plate": "edge.plate.part:HeadPlate",
    "light": "edge.light.part:ProfileLight",
    "setup": "edge.setup.part:CaptureSetup",
    "report": "edge.profile.parts:Part",
}


class UnknownVersion(ValueError):
    """A part was written by a newer unvisor; it is kept as it is and not used."""


@dataclass(frozen=True, eq=False)
class Part:
    """What a part looks like in files: one JSON document, named arrays, named pictures.

    Names are lower case letters, digits and underscores, at most 32, a letter first.
    """

    document: Mapping[str, Any] = field(default_factory=dict)  # JSON values; no NaN
    arrays: Mapping[str, Array] = field(default_factory=dict)  # numbers and bools, any shape
    # (H,W,3) BGR, (H,W,4) BGRA or (H,W) grey, uint8, up to 4096 px a side
    pictures: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    version: int = 1  # of this part alone; raised when older readers would misread it

    def require_version(self, newest: int) -> None:
        """Raise UnknownVersion when this part is newer than `newest`: call it in `from_part`."""
        if self.version > newest:
            raise UnknownVersion(f"version {self.version} is newer than {newest}")

    def to_part(self) -> Part:
        """Itself: a part that needs no class of its own."""
        return self

    @classmethod
    def from_part(cls, part: Part) -> Part:
        """`part` itself."""
        return part


class StoredPart(Protocol):
    """What the class of a part offers."""

    def to_part(self) -> Part:
        """Documents, arrays and pictures to keep."""
        ...

    @classmethod
    def from_part(cls, part: Part) -> StoredPart:
        """Inverse of `to_part`.

        Raises:
            UnknownVersion: it is newer than this class can read.
            KeyError, TypeError, ValueError: it does not fit.
        """
        ...


def part_class(name: str) -> type[StoredPart]:
    """The class of a part named in `PARTS`."""
    module, _, class_name = PARTS[name].partition(":")
    return cast("type[StoredPart]", getattr(importlib.import_module(module), class_name))
