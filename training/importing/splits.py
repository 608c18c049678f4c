"""Who is trained on: splits by person, from lists or from a person's name alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from streaming.errors import UserError

SPLITS = ("train", "val", "test")
SHARES = {"test": 0.1, "val": 0.1}  # of the people; the rest is trained on
MIXED = "mixed"  # shows two people who are in different splits
PAIR = re.compile(r"(\d{3})_(\d{3})")  # FaceForensics: one's head with the other's face or mouth


def split_of(person: str, lists: Mapping[str, str]) -> str:
    """The split of a person: as listed, or by a hash of the name, the same on every machine.

    With lists, people whom none of them names are trained on by nobody: `unlisted`. A name of two
    people, as `033_097`, belongs where both of them do, or nowhere: `mixed`.
    """
    pair = PAIR.fullmatch(person)
    if pair is not None and person not in lists:
        both = {split_of(each, lists) for each in pair.groups()}
        return both.pop() if len(both) == 1 else MIXED
    if lists:
        return lists.get(person, "unlisted")
    share = int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") / 2**64
    for split, size in SHARES.items():
        if share < size:
            return split
        share -= size
    return "train"


def read_lists(given: list[str]) -> dict[str, str]:
    """Person: split, from options SPLIT=FILE.json; names may be nested in lists, as pairs are.

    Raises:
        UserError: not such an option, an unreadable file, or a person in two splits.
    """
    splits: dict[str, str] = {}
    for each in given:
        split, _, path = each.partition("=")
        if split not in SPLITS or not path:
            raise UserError(f"'{each}' is no list of a split.", "Write val=FILE.json.")
        for person in _names(Path(path)):
            if splits.setdefault(person, split) != split:
                raise UserError(
                    f"'{person}' is in the lists of {splits[person]} and {split}.",
                    "A person may be in one split only: scores would measure memory.",
                )
    return splits


def _names(path: Path) -> list[str]:
    try:
        return _flat(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no JSON list of names ({error}).") from error


def _flat(value: object) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in _flat(each)]
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a name")
    return [value]
