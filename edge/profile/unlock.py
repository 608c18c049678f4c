"""What commands do about encryption before they load or make a profile."""

from __future__ import annotations

from pathlib import Path

from edge.profile.passphrase import asked, given, new_passphrase
from edge.profile.sealing import Lock
from edge.profile.store import is_encrypted
from streaming.errors import UserError


def passphrase_for(folder: Path) -> str | None:
    """The passphrase of the profile in `folder`, asked for if need be; None if it needs none."""
    if not is_encrypted(folder):
        return None
    return given() or asked(f"Passphrase of the profile {folder.name}")


def lock_for(folder: Path, encrypt: bool) -> Lock | None:
    """The lock of a profile that is about to be made: `replace(profile, lock=…)`, then save it.

    Call it before the capture: it asks, and refuses to put a clear profile over an encrypted one.

    Raises:
        UserError: the profile there is encrypted and `encrypt` is False; or see `new_passphrase`.
    """
    if encrypt:
        return Lock.new(new_passphrase())
    if is_encrypted(folder):
        raise UserError(
            f"The profile {folder.name} is encrypted.",
            f"Add --encrypt, or delete it first with `unvisor profiles delete {folder.name}`.",
        )
    return None
