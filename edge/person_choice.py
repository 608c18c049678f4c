"""Whom to follow when several people are in view."""

from __future__ import annotations

from collections.abc import Sequence

from edge.head_search import Candidate
from streaming.errors import UserError

LEAST_HEADSET = 0.5
NAMES = ("nearest", "left", "right")


def check_person(person: str) -> str:
    """The choice itself, if it is one.

    Raises:
        UserError: it is none.
    """
    is_number = person.isascii() and person.isdigit()  # "²" is a digit, too, and no number
    if person in NAMES or (is_number and int(person) > 0):
        return person
    raise UserError(
        f"There is no person {person!r} to follow.",
        f"Use {', '.join(NAMES)}, or a number: 1 is the leftmost in the picture.",
    )


def choose_person(found: Sequence[Candidate], person: str) -> Candidate | None:
    """The head to follow: of those with a headset if anybody wears one, as `person` says.

    A number counts everybody from the image's left; "nearest" is the largest head.
    """
    if not found:
        return None
    in_order = sorted(found, key=lambda head: float(head.centre[0]))
    if person.isdigit():
        index = int(person) - 1
        return in_order[index] if index < len(in_order) else None
    wearers = [head for head in in_order if head.headset >= LEAST_HEADSET] or in_order
    if person == "left":
        return wearers[0]
    if person == "right":
        return wearers[-1]
    return max(wearers, key=lambda head: head.side_px)
