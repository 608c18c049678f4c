"""Keys: who may receive the stream on another machine.

A folder that only its owner can read holds the server's key pair and the public key of every
allowed client. A key file is the text that CZMQ calls a certificate, so other languages can read
it; a client's file also names the server's public key, so that one file is all that is carried.
"""

from __future__ import annotations

import logging
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from streaming.errors import UserError
from streaming.whole_file import PRIVATE, write_whole

LOGGER = logging.getLogger(__name__)
SERVER_FILE = "server.key"
SERVER_PUBLIC_FILE = "server.pub"
ALLOWED_FOLDER = "allowed"
SUFFIX = ".pub"
MAX_FILE_BYTES = 4096
SECRET_NOTE = "# Secret: whoever holds this file is let in. Never send it by mail or chat."
PUBLIC_NOTE = "# Public: this key opens nothing by itself."

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_LINE = re.compile(r'\s+([a-z-]+) = "([^"]*)"')


@dataclass(frozen=True)
class KeyPair:
    """One CURVE key pair, each key as 40 characters of Z85."""

    public: str
    secret: str = field(repr=False)  # never in a log


@dataclass(frozen=True)
class ClientKeys:
    """What a client needs to connect: its own pair and the server's public key, Z85."""

    server: str
    public: str
    secret: str = field(repr=False)

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make `socket` encrypt whatever it connects to from now on."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, self.server.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret.encode())


class KeyFolder:
    """The server's folder of keys; every change is one file that appears, or goes, whole."""

    def __init__(self, path: Path | None = None) -> None:
        """Use `path`, or the user's own folder; nothing is read or made yet."""
        self.path = path or keys_folder()

    @property
    def allowed_path(self) -> Path:
        """Folder of the allowed clients' public keys."""
        return self.path / ALLOWED_FOLDER

    def server(self) -> KeyPair:
        """Read the server's pair; raises UserError if it is missing, open to others or damaged."""
        path = self.path / SERVER_FILE
        if not path.exists():
            raise UserError(
                f"There is no server key in {self.path}.",
                "Make one, and one for a client, with `unvisor keys new NAME`.",
            )
        _refuse_if_open_to_others(path)
        return _pair_of(read_key_file(path), path)

    def ensure_server(self) -> KeyPair:
        """Read the server's pair, made now if there is none."""
        name = {"name": "server"}
        if not self.has_server:
            self._write(SERVER_FILE, key_text(SECRET_NOTE, name, new_pair()), is_first=True)
        pair = self.server()  # perhaps another program's, which was quicker
        self._write(SERVER_PUBLIC_FILE, key_text(PUBLIC_NOTE, name, pair.public))
        return pair

    @property
    def has_server(self) -> bool:
        """Whether there is a server key."""
        return (self.path / SERVER_FILE).exists()

    def own_client(self) -> ClientKeys:
        """Return the keys with which this machine's own programs connect to its server."""
        pair = self.server()
        return ClientKeys(pair.public, pair.public, pair.secret)

    def allowed(self) -> dict[str, str]:
        """Public keys by client name. A file that cannot be read allows nobody."""
        found: dict[str, str] = {}
        for path in sorted(self.allowed_path.glob(f"*{SUFFIX}")):
            try:
                found[path.stem] = public_key(read_key_file(path).get("public-key", ""))
            except UserError as error:
                LOGGER.warning("An allowed key is ignored: %s", error)
        return found

    def allow(self, name: str, public: str) -> None:
        """Let the holder of `public` (Z85) in; raises UserError for a bad name or key."""
        self._refuse_taken(check_name(name))
        text = key_text(PUBLIC_NOTE, {"name": name}, public_key(public))
        self._write(f"{ALLOWED_FOLDER}/{name}{SUFFIX}", text)

    def revoke(self, name: str) -> None:
        """Let that client in no more; raises UserError when there is no such name."""
        try:
            (self.allowed_path / f"{check_name(name)}{SUFFIX}").unlink()
        except FileNotFoundError as error:
            known = ", ".join(self.allowed()) or "none"
            raise UserError(f"No client named {name!r} is allowed.", f"Known: {known}.") from error
        except OSError as error:
            raise UserError(f"Cannot revoke {name!r}: {error.strerror}.") from error

    def new_client(self, name: str, path: Path) -> ClientKeys:
        """Make a client's keys, write them to the new file `path` and allow them."""
        self._refuse_taken(check_name(name))
        server = self.ensure_server()
        keys = write_client(name, server.public, path)
        self.allow(name, keys.public)
        return keys

    def _refuse_taken(self, name: str) -> None:
        if (self.allowed_path / f"{name}{SUFFIX}").exists():
            raise UserError(
                f"A client named {name!r} is allowed already.",
                f"Choose another name, or take it away first: `unvisor keys revoke {name}`.",
            )

    def _write(self, name: str, text: str, is_first: bool = False) -> None:
        """Write a whole file at once; `is_first` leaves one alone that is there already."""
        path = self.path / name
        try:
            for folder in (self.path, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_first:
                write_whole(path, text.encode("ascii"), PRIVATE)
                return
            with suppress(FileExistsError):
                write_whole(path, text.encode("ascii"), PRIVATE, replace=False)
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}.") from error


def keys_folder() -> Path:
    """Where keys are kept unless another folder is named (XDG data folder)."""
    root = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(root) / "unvisor" / "keys"


def new_pair() -> KeyPair:
    """Make a new random pair."""
    while True:
        public, secret = zmq.curve_keypair()
        if not public.startswith(b"-"):  # a command would take the key for an option
            return KeyPair(public.decode(), secret.decode())


def write_client(name: str, server: str, path: Path) -> ClientKeys:
    """Make a client's keys for the server with public key `server`; write them to a new file."""
    pair = new_pair()
    fields = {"name": check_name(name), "server-key": public_key(server)}
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key_text(SECRET_NOTE, fields, pair))
    except FileExistsError as error:
        raise UserError(f"{path} exists already.", "Name another file with --out.") from error
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.", "Use --out FILE.") from error
    return ClientKeys(server, pair.public, pair.secret)


def load_client(path: Path, server: str | None = None) -> ClientKeys:
    """Read a client's key file; `server`, a key or a file, goes before the one in the file."""
    fields = read_key_file(path)
    pair = _pair_of(fields, path)
    named = public_key_or_file(server)[0] if server else fields.get("server-key", "")
    if not named:
        raise UserError(
            f"{path} does not say which server it is for.",
            "Add --server-key with the server's public key (`unvisor keys list` shows it there).",
        )
    return ClientKeys(public_key(named), pair.public, pair.secret)


def read_key_file(path: Path) -> Mapping[str, str]:
    """Read the fields of a key file; raises UserError when it is missing or is none."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("ascii")
    except OSError as error:
        raise UserError(f"Cannot read the key file {path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        text = ""
    matches = filter(None, map(_LINE.fullmatch, text.splitlines()))
    fields = {match[1]: match[2] for match in matches}
    if "public-key" not in fields:
        raise UserError(f"{path} is no key file.", "`unvisor keys new NAME` makes one.")
    return fields


def public_key_or_file(text: str) -> tuple[str, str | None]:
    """Return the public key that `text` is, or that is in the file of this name, and its name."""
    try:
        return public_key(text), None
    except UserError:
        fields = read_key_file(Path(text))
        return public_key(fields["public-key"]), fields.get("name")


def public_key(text: str) -> str:
    """Return `text` if it is a public key in Z85; raises UserError otherwise."""
    try:
        if _Z85.fullmatch(text) and len(z85.decode(text)) == 32:
            return text
    except struct.error:  # five of its characters make more than 32 bits
        pass
    raise UserError(f"{text!r} is no public key.", "It has 40 characters, in quotes for the shell.")


def check_name(name: str) -> str:
    """Return `name` if a client can be called so; raises UserError otherwise."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a client.",
            "Use up to 64 letters, digits, dots and dashes, such as anna-pc.",
        )
    return name


def key_text(note: str, metadata: Mapping[str, str], keys: KeyPair | str) -> str:
    """Text of a key file: of a whole pair, or of a public key alone."""
    curve = {"public-key": keys if isinstance(keys, str) else keys.public}
    if isinstance(keys, KeyPair):
        curve["secret-key"] = keys.secret
    sections = {"metadata": metadata, "curve": curve}
    lines = [note]
    for section, fields in sections.items():
        lines += [section, *(f'    {key} = "{value}"' for key, value in fields.items())]
    return "\n".join(lines) + "\n"


def _pair_of(fields: Mapping[str, str], path: Path) -> KeyPair:
    public, secret = fields["public-key"], fields.get("secret-key", "")
    try:
        is_pair = zmq.curve_public(secret.encode()) == public.encode()
    except (zmq.ZMQError, ValueError):
        is_pair = False
    if not is_pair:
        raise UserError(
            f"{path} does not hold a secret key that fits its public one.",
            "Use the file that `unvisor keys new` wrote, unchanged.",
        )
    return KeyPair(public, secret)


def _refuse_if_open_to_others(path: Path) -> None:
    if os.name != "posix":
        return
    for place in (path, path.parent):
        if place.stat().st_mode & 0o077:
            raise UserError(
                f"{place} can be read by other users of this machine.",
                f"Close it with `chmod go= {place}`; if others had access, make new keys.",
            )
