"""Clips of some licence classes only: the option of the commands that learn, and the choice.

Knows no clip itself: a machine that trains on archives has nothing that decodes videos.
"""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar

import typer

from streaming.errors import UserError

LicenceClass = Annotated[
    list[str] | None, typer.Option(help="Only clips of this licence class; repeat for several.")
]


class Licensed(Protocol):
    """What has a licence."""

    @property
    def licence_class(self) -> str:
        """As the manifest names it."""


LicensedT = TypeVar("LicensedT", bound=Licensed)


def licensed(rows: list[LicensedT], classes: tuple[str, ...]) -> list[LicensedT]:
    """Those of some licence classes; empty = all. Raises UserError when none is."""
    kept = [row for row in rows if not classes or row.licence_class in classes]
    if not kept:
        known = ", ".join(sorted({row.licence_class or "none" for row in rows}))
        raise UserError(
            f"No clip has the licence class {' or '.join(classes)}.", f"The classes are: {known}."
        )
    return kept
