"""The whole profile as `profile.json` plus files, and back.

`profile.json` is the table of contents: it names every file by its content, with checksum and
size, and carries a checksum of itself, so that nothing can change unnoticed.

A newer minor version may only add parts: parts unknown here are kept as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.profile.eyes import EyeCalibration
from edge.profile.part_files import FILE_NAME, Files, Read, check_name, from_files, to_files
from edge.profile.parts import PARTS, Part, StoredPart, UnknownVersion, part_class
from edge.profile.session import MAX_REFERENCES, MAX_STORED_PX, MIN_STORED_PX, SessionProfile
from models.filling import Reference
from streaming.records import ImageU8

log = logging.getLogger(__name__)

SCHEMA, MINOR = 2, 0
REFERENCES = "references"
MAX_DOCUMENT_BYTES = 4 << 20
MAX_FILE_BYTES = 64 << 20
MAX_BYTES = 256 << 20  # of all files together
MAX_FILES, MAX_PARTS = 512, 64

Fetch = Callable[[str, int], bytes]  # (file name, at most so many bytes) -> content


class WrongSchema(ValueError):
    """The document is of a schema that cannot be read; `schema` is what it says."""

    def __init__(self, schema: object) -> None:
        """Keep the number, or whatever stands in its place."""
        self.schema = schema
        super().__init__(f"schema {schema}")


def to_document(profile: SessionProfile) -> tuple[bytes, Files]:
    """`profile.json` and the files that it names.

    Raises:
        ValueError: something in the profile cannot be stored.
    """
    parts: dict[str, Any] = {}
    files: Files = {}
    for name, part in _parts_of(profile).items():
        parts[name], written = to_files(name, part)
        files.update(written)
    content = {
        "minor": MINOR,
        "made": profile.made or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eyes": [eye.to_json() for eye in profile.eyes],
        "quality": {key: float(value) for key, value in profile.quality.items()},
        "parts": parts,
        "files": {name: _sums(file) for name, file in sorted(files.items())},
    }
    return as_document(content), files


def as_document(content: Mapping[str, Any]) -> bytes:
    """`profile.json` with that content and its checksum."""
    tree = {"schema": SCHEMA, "sha256": _digest(content), "content": content}
    return json.dumps(tree, indent=1, allow_nan=False).encode()


def content_of(document: bytes) -> dict[str, Any]:
    """What `as_document` wrote, its checksum compared.

    Raises:
        WrongSchema: it is not of this schema.
        KeyError, TypeError, ValueError: it is damaged.
    """
    tree = read_tree(document)
    if tree.get("schema") != SCHEMA:
        raise WrongSchema(tree.get("schema"))
    content = tree["content"]
    if not isinstance(content, dict) or tree["sha256"] != _digest(content):
        raise ValueError("it was changed or is damaged (its checksum differs)")
    return content


def read_tree(document: bytes) -> dict[str, Any]:
    """The JSON object in `document`; raises ValueError for anything else."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"more than {MAX_DOCUMENT_BYTES} bytes")
    try:
        tree = json.loads(document)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(tree, dict):
        raise ValueError("not a JSON object")
    return tree


def from_document(document: bytes, fetch: Fetch) -> SessionProfile:
    """Inverse of `to_document`; each file is asked of `fetch` once.

    Raises:
        WrongSchema: it is not of this schema.
        OSError: `fetch` could not read a file.
        KeyError, TypeError, ValueError: document or a file is damaged, or does not fit.
        OverflowError: a number in it is too large.
    """
    content = content_of(document)
    sums = listed(content)

    def read(name: str) -> bytes:
        file = fetch(name, sums[name]["bytes"])
        if _sums(file) != sums[name]:
            raise ValueError(f"{name} was changed or is damaged (its checksum differs)")
        return file

    raw = _read_parts(content["parts"], read)
    references = references_from_part(raw.pop(REFERENCES))
    right, left = (EyeCalibration.from_json(eye) for eye in content["eyes"])
    quality = {str(key): float(value) for key, value in content["quality"].items()}
    known, others = _recognised(raw)
    made = str(content["made"])
    return SessionProfile(references, (right, left), quality, made, **known, others=others)


def listed(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Checksum and size of every file by name; raises ValueError when names or sizes are unfit."""
    sums = dict(content["files"])
    if len(sums) > MAX_FILES:
        raise ValueError(f"{len(sums)} files")
    total = 0
    for name, entry in sums.items():
        size = entry["bytes"]
        if not FILE_NAME.fullmatch(name) or type(size) is not int or size < 0:
            raise ValueError(f"a file {name!r} of {size!r} bytes")
        total += size
        if size > MAX_FILE_BYTES or total > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES >> 20} MiB in files")
    return sums


def references_to_part(references: tuple[Reference, ...]) -> Part:
    """Views as a part; raises ValueError when there is none, or one is no square or no mesh."""
    if not 0 < len(references) <= MAX_REFERENCES:
        raise ValueError(f"no reference view, or too many: {len(references)}")
    for view in references:
        check_view(view.image, view.mesh)
    arrays = {f"mesh_{i}": np.asarray(v.mesh, np.float32) for i, v in enumerate(references)}
    pictures = {f"view_{i}": view.image for i, view in enumerate(references)}
    return Part({"views": len(references)}, arrays, pictures)


def references_from_part(part: Part) -> tuple[Reference, ...]:
    """Inverse of `references_to_part`; raises KeyError or ValueError when it does not fit."""
    part.require_version(1)
    count = int(part.document["views"])
    if not 0 < count <= MAX_REFERENCES:
        raise ValueError("no reference view")
    views = []
    for index in range(count):
        image = part.pictures[f"view_{index}"]
        mesh = part.arrays[f"mesh_{index}"].astype(np.float32)
        check_view(image, mesh)
        views.append(Reference(image, mesh))
    return tuple(views)


def check_view(image: ImageU8, mesh: NDArray[Any]) -> None:
    """Raise ValueError unless it is a square picture in colour with a mesh of 478 points."""
    side = image.shape[0]
    if image.shape != (side, side, 3) or not MIN_STORED_PX <= side <= MAX_STORED_PX:
        raise ValueError(f"a reference of {image.shape} is not a square picture of fit size")
    if mesh.shape != (478, 3) or not np.isfinite(mesh).all():
        raise ValueError(f"a reference with {mesh.shape}, not a finite (478, 3) mesh")


def _parts_of(profile: SessionProfile) -> dict[str, Part]:
    parts = {REFERENCES: references_to_part(profile.references)}
    parts.update({n: p for n, p in profile.others.items() if n != REFERENCES})
    for name in PARTS:
        value: StoredPart | None = getattr(profile, name)
        if value is not None:
            parts[name] = value.to_part()
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(parts)} parts")
    return parts


def _read_parts(entries: Mapping[str, Any], read: Read) -> dict[str, Part]:
    if len(entries) > MAX_PARTS:
        raise ValueError(f"{len(entries)} parts")
    return {check_name(name): from_files(entry, read) for name, entry in entries.items()}


def _recognised(raw: Mapping[str, Part]) -> tuple[dict[str, Any], dict[str, Part]]:
    """Parts as their classes make them, and those that are unknown here or too new."""
    known: dict[str, Any] = {}
    others: dict[str, Part] = {}
    for name, part in raw.items():
        if name not in PARTS:
            log.warning("the profile has a part %r, unknown here; it is kept but not used", name)
            others[name] = part
            continue
        try:
            known[name] = part_class(name).from_part(part)
        except UnknownVersion as error:
            log.warning("the profile's part %r is kept but not used: %s", name, error)
            others[name] = part
    return known, others


def _sums(file: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(file).hexdigest(), "bytes": len(file)}


def _digest(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
