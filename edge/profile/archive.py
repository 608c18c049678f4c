"""A profile as one file: a ZIP that holds `profile.json` and the files that it names.

Written without compression (pictures and arrays are compressed already), and read only so: such an
archive cannot unpack to more than its own size. Nothing is ever extracted by a path in it.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping

from edge.profile.document import (
    MAX_BYTES,
    MAX_DOCUMENT_BYTES,
    MAX_FILE_BYTES,
    MAX_FILES,
    content_of,
    listed,
)
from edge.profile.folder import DOCUMENT
from edge.profile.part_files import DAMAGED, Files

MAX_ARCHIVE_BYTES = MAX_BYTES + MAX_DOCUMENT_BYTES + (1 << 20)

_EPOCH = (1980, 1, 1, 0, 0, 0)  # when it was packed is nobody's business


def pack(document: bytes, files: Mapping[str, bytes]) -> bytes:
    """One file with everything in it; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {DOCUMENT: document, **dict(sorted(files.items()))}.items():
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = (stat.S_IFREG | 0o600) << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[bytes, Files]:
    """`profile.json` and its files: exactly those that it names, of the sizes that it names.

    Raises:
        WrongSchema: made by another version.
        KeyError, TypeError, ValueError: damaged, too large, or holding anything else.
    """
    if len(content) > MAX_ARCHIVE_BYTES:
        raise ValueError(f"more than {MAX_ARCHIVE_BYTES >> 20} MiB")
    try:
        found = _members(content)
    except DAMAGED as error:
        raise ValueError(f"it is no archive, or is damaged ({error})") from error
    document = found.pop(DOCUMENT, b"")
    if not document:
        raise ValueError(f"it holds no {DOCUMENT}")
    sums = listed(content_of(document))
    if found.keys() != sums.keys():
        raise ValueError("it does not hold just the files that it names")
    if any(len(found[name]) != sums[name]["bytes"] for name in sums):
        raise ValueError("a file is not of the size that is named")
    return document, found


def _members(content: bytes) -> Files:
    found: Files = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > MAX_FILES + 1:
            raise ValueError(f"{len(members)} files")
        for member in members:
            if member.filename in found:
                raise ValueError(f"{member.filename!r} twice")
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError(f"{member.filename!r} is compressed or encrypted")
            # Members may overlap, so their sizes may add up to more than the archive's.
            if member.file_size > min(MAX_FILE_BYTES, len(content)):
                raise ValueError(f"{member.filename!r} of {member.file_size} bytes")
            with archive.open(member) as file:
                found[member.filename] = file.read(member.file_size)
            if sum(map(len, found.values())) > len(content):
                raise ValueError("its files overlap")
    return found
