"""A profile as one file for another machine, and back.

What comes in may have been made by anybody: it is held to bounds, checked whole and written anew
from what was understood of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from edge.profile import SessionProfile
from edge.profile.archive import MAX_ARCHIVE_BYTES, pack, unpack
from edge.profile.document import WrongSchema, from_document, to_document
from edge.profile.sealing import Damaged, Lock, WrongPassphrase, is_sealed, unseal
from edge.profile.store import UNFIT, told
from streaming.errors import UserError
from streaming.whole_file import PRIVATE, write_whole

SUFFIX = ".unvisor"
MAX_FILE_BYTES = MAX_ARCHIVE_BYTES + (1 << 16)  # sealing adds a header


def exported(profile: SessionProfile, lock: Lock | None) -> bytes:
    """The whole profile as one file's content, encrypted with `lock` or in the clear."""
    content = pack(*to_document(profile))
    return content if lock is None else lock.seal(content)


def imported(content: bytes, passphrase: Callable[[], str]) -> SessionProfile:
    """The profile in an exported file; `passphrase` is asked if it is encrypted.

    Raises:
        UserError: the passphrase is wrong, or the content is anything but a whole profile.
    """
    try:
        if is_sealed(content):
            content, _ = unseal(content, passphrase())
        document, files = unpack(content)
        return dataclasses.replace(from_document(document, lambda name, _: files[name]), lock=None)
    except WrongPassphrase as error:
        raise UserError(
            "The passphrase of the file is wrong.",
            "Nothing was changed: run the command again and type it anew.",
        ) from error
    except WrongSchema as error:
        raise UserError(
            f"The profile in the file has schema {error.schema}.", "Update unvisor."
        ) from error
    except Damaged as error:
        raise UserError(f"The file cannot be imported: {error}.", "Export it again.") from error
    except UNFIT as error:
        raise UserError(
            f"The file cannot be imported: {told(error)}.", "Export it again."
        ) from error


def read_export(path: Path) -> bytes:
    """An exported file's content; raises UserError when it cannot be read or is far too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise UserError(f"{path} is larger than any profile ({MAX_FILE_BYTES >> 20} MiB).")
    return content


def write_private(path: Path, content: bytes, replace: bool = False) -> None:
    """Write a file for its owner's eyes only, whole or not at all.

    With `replace` a symbolic link stays, and what it leads to is replaced.

    Raises:
        UserError: it cannot be written, or is there already and `replace` is False.
    """
    try:
        write_whole(path, content, PRIVATE, replace=replace)
    except FileExistsError as error:
        raise UserError(f"{path} is there already.", "Add --replace, or name another.") from error
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.", "Name another place.") from error
