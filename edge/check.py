"""What one check of `unvisor doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "optional"]


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    state: State  # "optional": absent, and the product runs without it
    detail: str
    fix: str = ""  # the exact thing to do; empty when nothing is to be done
