"""A profile's folder, replaced so that at every moment either the old or the new content is whole.

Files other than `profile.json` are named by their content and never changed under their name. New
ones are written beside the old, then `profile.json` is replaced in one step (rename), then what it
no longer names is removed. Whatever interrupts this, `profile.json` names files that are all
there; what an interruption leaves behind is removed by the next one who saves or loads.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge.profile import part_files, schema1
from edge.profile.document import MAX_DOCUMENT_BYTES

log = logging.getLogger(__name__)

DOCUMENT = "profile.json"
DRAFT = ".draft"
TRIES = 10  # of saving a profile that somebody deletes at the same time
LOCK_S = 10.0  # how long another program may take to write the same profile
SEALED_NAME = re.compile(r"sealed\.[0-9a-f]{16}\.bin")

_OWN = (part_files.FILE_NAME, schema1.FILE_NAME, SEALED_NAME, re.compile(re.escape(DOCUMENT)))


class NotAProfile(OSError):
    """The folder holds other things; nothing of it is touched."""


class Changed(Exception):
    """`profile.json` is no longer what was expected; nothing was written."""


def replace_content(
    folder: Path, document: bytes, files: Mapping[str, bytes], expected: bytes | None = None
) -> None:
    """Make `document` (`profile.json`) and `files` the content of `folder` (0700, files 0600).

    Raises:
        Changed: `profile.json` is not `expected`.
        OSError: it cannot be written; the old content is then still there.
        NotAProfile: the folder holds other things.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for tries_left in reversed(range(TRIES)):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            with _locked(folder):
                _refuse_foreign(folder)
                folder.chmod(0o700)
                if expected is not None and read_document(folder) != expected:
                    raise Changed
                try:
                    sweep(folder)
                    _write_all(folder, document, files)
                finally:
                    _tidy(folder)
            return
        except FileNotFoundError:
            if not tries_left or folder.exists():
                raise  # else somebody deleted the profile just now


def read_document(folder: Path) -> bytes:
    """`profile.json`, one byte longer than is allowed at most; raises OSError."""
    with (folder / DOCUMENT).open("rb") as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)


def fetch(folder: Path, name: str, max_bytes: int) -> bytes:
    """A file of the profile, one byte longer than is allowed at most; raises OSError."""
    if not any(pattern.fullmatch(name) for pattern in _OWN):
        raise ValueError(f"a file named {name!r}")
    with (folder / name).open("rb") as file:
        return file.read(max_bytes + 1)


def remove(folder: Path) -> list[str]:
    """Delete the profile, at once and whole; returns what else lies in the folder, which stays.

    Raises:
        OSError: it cannot be deleted.
    """
    with _locked(folder):
        with suppress(FileNotFoundError):
            os.unlink(folder / DOCUMENT)
        _sync(folder)
        sweep(folder)
        rest = os.listdir(folder)
        if not rest:
            folder.resolve().rmdir()  # it may be kept elsewhere, with a link here
            if folder.is_symlink():
                folder.unlink()
    return rest


def size_bytes(folder: Path) -> int:
    """What the folder's files take."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def sweep_leftovers(folder: Path) -> None:
    """Remove what an interrupted save left, unless somebody is saving just now."""
    try:
        if _leftovers(folder):
            with _locked(folder, wait_s=0.0):
                sweep(folder)
    except OSError as error:
        log.debug("leftovers in %s stay: %s", folder, error.strerror)


def sweep(folder: Path) -> None:
    """Remove drafts and files that `profile.json` does not name; call it with the folder locked."""
    for name in _leftovers(folder):
        with suppress(OSError):
            os.unlink(folder / name)


def _tidy(folder: Path) -> None:
    sweep(folder)
    if not (folder / DOCUMENT).exists():
        with suppress(OSError):
            folder.rmdir()  # the first save failed: leave no empty folder


def _leftovers(folder: Path) -> list[str]:
    """Our own files that are in no use; anybody else's are left alone."""
    named = _named(folder)
    found = []
    for name in os.listdir(folder):
        if not any(pattern.fullmatch(name.removesuffix(DRAFT)) for pattern in _OWN):
            continue
        if name.endswith(DRAFT) or (named is not None and name not in named and name != DOCUMENT):
            found.append(name)
    return found


def _named(folder: Path) -> set[str] | None:
    """Every string in `profile.json`, so of any schema; None if it is there but unreadable."""
    try:
        tree = json.loads(read_document(folder))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, RecursionError):
        return None
    return set(_strings(tree))


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield key
            yield from _strings(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _strings(value)


def _write_all(folder: Path, document: bytes, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        if not _is_whole(folder / name, content):
            _write(folder, name, content)
    _sync(folder)  # the files are found after a power cut before anything names them
    _write(folder, DOCUMENT, document)
    _sync(folder)
    _sync(folder.parent)


def _is_whole(path: Path, content: bytes) -> bool:
    """Whether the file is there already with just this content."""
    try:
        if path.stat().st_size != len(content):
            return False
        return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
    except OSError:
        return False


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file that appears whole under its name, or not at all."""
    draft = folder / (name + DRAFT)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(draft, folder / name)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_foreign(folder: Path) -> None:
    names = os.listdir(folder)
    ours = [any(p.fullmatch(name.removesuffix(DRAFT)) for p in _OWN) for name in names]
    if DOCUMENT not in names and not all(ours):
        raise NotAProfile(errno.ENOTEMPTY, "it holds other files and is no profile", str(folder))


@contextmanager
def _locked(folder: Path, wait_s: float = LOCK_S) -> Iterator[None]:
    """Only one program at a time writes; the lock goes with the process, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline_s:
                    raise
                time.sleep(0.02)
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, "deleted meanwhile", str(folder))
        yield
    finally:
        os.close(descriptor)
