"""Files that appear whole under their name or not at all, whatever interrupts writing them.

A draft beside the file is written, brought to the disk, and then given the name in one step. An
error removes it; what a killed process left is removed by whoever writes the file an hour later.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600  # what shows a face, or opens a door
PUBLIC = 0o666  # less what the umask takes away
STALE_S = 3600.0  # no file takes this long to write
# Of file systems that know no second name of a file, as USB sticks have them.
WITHOUT_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def whole_file(path: Path, mode: int = PUBLIC, *, replace: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes `path`'s place at the end of the `with` block.

    Args:
        path: of the file; its folder is there. A symbolic link stays, and what it leads to is
            replaced.
        mode: the file's permissions; the umask is taken from them.
        replace: False leaves a file or link alone that is there already.

    Raises:
        FileExistsError: something is there, and `replace` is False.
        OSError: it cannot be written; what was there is unchanged.
    """
    place = Path(os.path.realpath(path)) if replace else path
    _sweep(place)
    draft = place.with_name(_draft_name(place))
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or the new name may come to the disk before the content
        if replace:
            os.replace(draft, place)
        else:
            put_where_nothing_is(draft, place)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, mode: int = PUBLIC, *, replace: bool = True) -> None:
    """Write all of a file at once; arguments and errors as of `whole_file`."""
    with whole_file(path, mode, replace=replace) as file:
        file.write(content)


def put_where_nothing_is(draft: Path, path: Path) -> None:
    """Give a file its name; raises FileExistsError when that is taken, unlike a rename."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        os.replace(draft, path)
    else:
        draft.unlink()


def _draft_name(place: Path) -> str:
    """Another one each time: several processes may write the same file."""
    return f".{_stem(place)}.{secrets.token_hex(4)}.draft"


def _stem(place: Path) -> str:
    return os.fsdecode(os.fsencode(place.name)[:200])  # names end at 255 bytes


def _sweep(place: Path) -> None:
    """Remove drafts of this file that nobody can be writing any more."""
    ours = re.compile(rf"\.{re.escape(_stem(place))}\.[0-9a-f]{{8}}\.draft")
    with suppress(OSError):  # gone meanwhile, or a folder that may not be read
        for name in filter(ours.fullmatch, os.listdir(place.parent)):
            draft = place.with_name(name)
            if time.time() - draft.stat().st_mtime > STALE_S:
                draft.unlink()
