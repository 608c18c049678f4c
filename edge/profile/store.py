"""Loading and saving profiles by name or path."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edge.profile import schema1
from edge.profile.archive import MAX_ARCHIVE_BYTES, pack, unpack
from edge.profile.document import (
    SCHEMA,
    WrongSchema,
    from_document,
    read_tree,
    to_document,
)
from edge.profile.folder import (
    DOCUMENT,
    Changed,
    NotAProfile,
    fetch,
    read_document,
    replace_content,
    sweep_leftovers,
)
from edge.profile.part_files import Files
from edge.profile.passphrase import FD_VARIABLE, VARIABLE, given
from edge.profile.sealing import Lock, WrongPassphrase, unseal
from edge.profile.session import SessionProfile
from streaming.errors import UserError

MAKE_AGAIN = "Make it again with `calibrate-reference`."
SEALED = "sealed"  # in profile.json, instead of "content"
# What readers of a document raise that does not fit; the last of numbers such as 1e400.
UNFIT = (AttributeError, KeyError, TypeError, ValueError, OverflowError)
TRIES = 3  # somebody may save the profile while it is read


def profiles_folder() -> Path:
    """Where named profiles are kept (XDG data folder)."""
    root = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(root) / "unvisor" / "profiles"


def profile_path(name: str) -> Path:
    """Folder of a profile given by name, or by path when it contains a separator.

    Raises:
        UserError: a name that is empty, or begins with a full stop.
    """
    if os.sep in name:
        return Path(name)
    if not name or name.startswith(".") or not name.isprintable() or len(name.encode()) > 200:
        raise UserError(f"A profile cannot be named {name!r}.", "Use letters and digits.")
    return profiles_folder() / name


def is_encrypted(folder: Path) -> bool:
    """Whether the profile in `folder` needs a passphrase; False, too, when there is none."""
    try:
        return SEALED in read_tree(read_document(folder))
    except (OSError, ValueError):
        return False


def save_profile(profile: SessionProfile, folder: Path, *, may_decrypt: bool = False) -> None:
    """Write the profile (folder 0700, files 0600); an older one is replaced in one step.

    Interrupted at any moment, the old one is still there. With a `lock`, as a profile has that was
    encrypted when it was loaded, only encrypted bytes are written. An encrypted profile is replaced
    by a clear one only if `may_decrypt`.

    Raises:
        UserError: the folder cannot be written, or holds other things than a profile.
        ValueError: something in the profile cannot be stored.
    """
    if profile.lock is None and not may_decrypt and is_encrypted(folder):
        raise UserError(f"The profile {folder} is encrypted.", "It is not replaced by a clear one.")
    _write(folder, profile)


def update_profile(
    folder: Path,
    change: Callable[[SessionProfile], SessionProfile],
    passphrase: str | None = None,
) -> SessionProfile:
    """Load a profile, `change` it and save it, losing nothing that others save meanwhile.

    When somebody does, `change` is called again with what they saved. Returns what was saved; an
    encrypted profile stays encrypted unless `change` takes its `lock` away.

    Raises:
        UserError: as of `load_profile` and `save_profile`.
    """
    for _ in range(TRIES):
        before = _document(folder)
        changed = change(load_profile(folder, passphrase))
        try:
            _write(folder, changed, before)
            return changed
        except Changed:
            continue
    raise UserError(f"The profile {folder} is being changed all the time.", "Try again later.")


def _write(folder: Path, profile: SessionProfile, expected: bytes | None = None) -> None:
    document, files = to_document(profile)
    if profile.lock is not None:
        document, files = _sealed(profile.lock, document, files)
    try:
        replace_content(folder, document, files, expected)
    except NotAProfile as error:
        raise UserError(
            f"{folder} holds other files and is no profile.", "Choose another name or folder."
        ) from error
    except BlockingIOError as error:
        raise UserError(
            f"Another program is writing the profile {folder}.", "Try again."
        ) from error
    except OSError as error:
        raise UserError(
            f"Cannot write the profile {folder}: {error.strerror}.",
            "Free some space, or choose another place.",
        ) from error


def load_profile(folder: Path, passphrase: str | None = None) -> SessionProfile:
    """Read and check a profile, of this schema or an older one.

    An encrypted one opens with `passphrase`, or with what the environment gives
    (edge.profile.passphrase); commands ask beforehand (edge.profile.unlock).

    Raises:
        UserError: missing, made by a newer version, damaged or changed; the passphrase is wrong
            or missing.
    """
    if folder.is_dir():
        sweep_leftovers(folder)
    document = _document(folder)
    for _ in range(TRIES):
        try:
            return _profile(document, folder, passphrase)
        except (OSError, UserError):
            newer = _document(folder)
            if newer == document:
                raise
            document = newer
    raise UserError(f"The profile {folder} is being changed all the time.", "Try again later.")


def _document(folder: Path) -> bytes:
    try:
        return read_document(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"There is no profile at {folder}.",
            f"Make one with `calibrate-reference --profile {folder.name}`; "
            "`unvisor profiles list` tells which there are.",
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder / DOCUMENT} cannot be read: {error.strerror}.", MAKE_AGAIN
        ) from error


def _profile(document: bytes, folder: Path, passphrase: str | None) -> SessionProfile:
    try:
        tree = read_tree(document)
        if tree.get("schema") == schema1.SCHEMA:
            return schema1.profile_of_schema1(tree, partial(fetch, folder))
        if tree.get("schema") == SCHEMA and SEALED in tree:
            return _unsealed(tree[SEALED], folder, passphrase)
        return from_document(document, partial(fetch, folder))
    except WrongSchema as error:
        raise UserError(
            f"The profile {folder} has schema {error.schema}, not {SCHEMA}.",
            "Update unvisor, or make it again with `calibrate-reference`.",
        ) from error
    except WrongPassphrase as error:
        raise UserError(
            f"The passphrase of the profile {folder.name} is wrong.",
            "Nothing was changed: run the command again and type it anew.",
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename} of the profile cannot be read: {error.strerror}.", MAKE_AGAIN
        ) from error
    except UNFIT as error:
        raise UserError(f"The profile {folder} is damaged: {told(error)}.", MAKE_AGAIN) from error


def told(error: Exception) -> str:
    """What a reader of files complained about, in words."""
    if isinstance(error, OverflowError):  # Python says of which type it is too large
        return "a number in it is too large"
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)


def _sealed(lock: Lock, document: bytes, files: Files) -> tuple[bytes, Files]:
    content = lock.seal(pack(document, files))
    digest = hashlib.sha256(content).hexdigest()
    name = f"sealed.{digest[:16]}.bin"
    entry = {"file": name, "sha256": digest, "bytes": len(content)}
    return json.dumps({"schema": SCHEMA, SEALED: entry}, indent=1).encode(), {name: content}


def _unsealed(entry: dict[str, Any], folder: Path, passphrase: str | None) -> SessionProfile:
    name = entry["file"]
    content = fetch(folder, name, MAX_ARCHIVE_BYTES)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise ValueError(f"{name} was changed or is damaged (its checksum differs)")
    text = passphrase or given()
    if text is None:
        raise UserError(
            f"The profile {folder.name} is encrypted, and no passphrase was given.",
            f"Set {FD_VARIABLE} to the number of an open file, or {VARIABLE} to the passphrase.",
        )
    opened, lock = unseal(content, text)
    document, files = unpack(opened)
    profile = from_document(document, lambda file, _: files[file])
    return dataclasses.replace(profile, lock=lock)
