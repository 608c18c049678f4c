"""Profiles of schema 1, which version 0.1 made: read, and written as schema 2 when next saved."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.profile.document import MAX_FILE_BYTES, Fetch, check_view
from edge.profile.eyes import EyeCalibration
from edge.profile.part_files import decode_npz, decode_png
from edge.profile.session import SessionProfile
from models.filling import Reference

SCHEMA = 1
FILE_NAME = re.compile(r"reference_\d{1,3}\.(png|npz)")


def profile_of_schema1(tree: Mapping[str, Any], fetch: Fetch) -> SessionProfile:
    """The profile that a document of schema 1 describes.

    Raises:
        OSError: `fetch` could not read a file.
        KeyError, TypeError, ValueError: document or a file is damaged, or does not fit.
        OverflowError: a number in it is too large.
    """
    views = tuple(_view(entry, fetch) for entry in tree["references"])
    if not views:
        raise ValueError("no reference view")
    right, left = (EyeCalibration.from_json(eye) for eye in tree["eyes"])
    quality = {str(key): float(value) for key, value in tree["quality"].items()}
    return SessionProfile(views, (right, left), quality)


def _view(entry: Mapping[str, Any], fetch: Fetch) -> Reference:
    contents = []
    for name in (entry["image"], entry["mesh"]):
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"a file named {name!r}")
        content = fetch(name, MAX_FILE_BYTES)
        if hashlib.sha256(content).hexdigest() != entry["sha256"][name]:
            raise ValueError(f"{name} was changed or is damaged (its checksum differs)")
        contents.append(content)
    image, mesh = decode_png(contents[0]), decode_npz(contents[1])["mesh"].astype(np.float32)
    check_view(image, mesh)
    return Reference(image, mesh)
