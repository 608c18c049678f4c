"""Clips of some licence classes only: the option of the commands that learn, and the choice."""

from __future__ import annotations

from typing import Annotated

import typer

from streaming.errors import UserError
from training.clips.faces import FaceClip

LicenceClass = Annotated[
    list[str] | None, typer.Option(help="Only clips of this licence class; repeat for several.")
]


def licensed(rows: list[FaceClip], classes: tuple[str, ...]) -> list[FaceClip]:
    """Those of some licence classes; empty = all. Raises UserError when none is."""
    kept = [row for row in rows if not classes or row.licence_class in classes]
    if not kept:
        known = ", ".join(sorted({row.licence_class or "none" for row in rows}))
        raise UserError(
            f"No clip has the licence class {' or '.join(classes)}.", f"The classes are: {known}."
        )
    return kept
