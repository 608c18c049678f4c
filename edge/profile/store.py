"""Loading and saving profiles by name or path."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from edge.profile import schema1
from edge.profile.document import (
    SCHEMA,
    WrongSchema,
    from_document,
    read_tree,
    to_document,
)
from edge.profile.folder import (
    DOCUMENT,
    NotAProfile,
    fetch,
    read_document,
    replace_content,
    sweep_leftovers,
)
from edge.profile.session import SessionProfile
from streaming.errors import UserError

MAKE_AGAIN = "Make it again with `calibrate-reference`."
TRIES = 3  # somebody may save the profile while it is read


def profiles_folder() -> Path:
    """Where named profiles are kept (XDG data folder)."""
    root = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(root) / "unvisor" / "profiles"


def profile_path(name: str) -> Path:
    """Folder of a profile given by name, or by path when it contains a separator."""
    return Path(name) if os.sep in name else profiles_folder() / name


def save_profile(profile: SessionProfile, folder: Path) -> None:
    """Write the profile (folder 0700, files 0600); an older one is replaced in one step.

    Interrupted at any moment, the old one is still there.

    Raises:
        UserError: the folder cannot be written, or holds other things than a profile.
        ValueError: something in the profile cannot be stored.
    """
    document, files = to_document(profile)
    try:
        replace_content(folder, document, files)
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


def load_profile(folder: Path) -> SessionProfile:
    """Read and check a profile, of this schema or an older one.

    Raises:
        UserError: missing, made by a newer version, damaged or changed.
    """
    if folder.is_dir():
        sweep_leftovers(folder)
    document = _document(folder)
    for _ in range(TRIES):
        try:
            return _profile(document, folder)
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
            f"There is no profile at {folder}.", "Make one with `calibrate-reference`."
        ) from error
    except OSError as error:
        raise UserError(
            f"{folder / DOCUMENT} cannot be read: {error.strerror}.", MAKE_AGAIN
        ) from error


def _profile(document: bytes, folder: Path) -> SessionProfile:
    try:
        tree = read_tree(document)
        if tree.get("schema") == schema1.SCHEMA:
            return schema1.profile_of_schema1(tree, partial(fetch, folder))
        return from_document(document, partial(fetch, folder))
    except WrongSchema as error:
        raise UserError(
            f"The profile {folder} has schema {error.schema}, not {SCHEMA}.",
            "Update unvisor, or make it again with `calibrate-reference`.",
        ) from error
    except OSError as error:
        raise UserError(
            f"{error.filename} of the profile cannot be read: {error.strerror}.", MAKE_AGAIN
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # What a part's own reader says about its content names no numbers of a face.
        said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"The profile {folder} is damaged: {said}.", MAKE_AGAIN) from error
