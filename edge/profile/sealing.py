"""A profile's bytes under a passphrase: scrypt (RFC 7914) and ChaCha20-Poly1305 (RFC 8439).

A sealed file is a magic line, one line of JSON (how the key is made), and the encrypted bytes. The
line is authenticated, too. Half of what scrypt gives is the key; of the other half a hash is kept,
so that a wrong passphrase is told from a changed file, and a file opens with one passphrase only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = b"unvisor sealed 1\n"
# 2^17 · 8: 128 MiB and about half a second for each guess.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 17, 8, 1
MAX_N, MAX_MEMORY = 1 << 19, 1 << 30  # a hostile file may not ask for more
MAX_HEADER_BYTES = 1024
KEY_BYTES, SALT_BYTES, NONCE_BYTES, CHECK_BYTES = 32, 16, 12, 16

_HEX = re.compile(r"(?:[0-9a-f]{2})+")


class WrongPassphrase(ValueError):
    """The passphrase is not the one that this was sealed with."""


class Damaged(ValueError):
    """The file is no sealed file, or was changed."""


@dataclass(frozen=True)
class Lock:
    """A key made of a passphrase; sealing again with it needs no second question."""

    key: bytes = field(repr=False)
    check: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    n: int = SCRYPT_N

    @classmethod
    def new(cls, passphrase: str) -> Lock:
        """A lock with a salt of its own."""
        return _lock(passphrase, os.urandom(SALT_BYTES), SCRYPT_N)

    def seal(self, content: bytes) -> bytes:
        """`content` encrypted; another nonce each time."""
        nonce = os.urandom(NONCE_BYTES)
        tree = {
            "kdf": "scrypt",
            "n": self.n,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
            "salt": self.salt.hex(),
            "check": self.check.hex(),
            "cipher": "chacha20-poly1305",
            "nonce": nonce.hex(),
        }
        header = MAGIC + json.dumps(tree).encode() + b"\n"
        return header + ChaCha20Poly1305(self.key).encrypt(nonce, content, header)


def is_sealed(content: bytes) -> bool:
    """Whether these are (the beginning of) a sealed file's bytes."""
    return content.startswith(MAGIC)


def unseal(content: bytes, passphrase: str) -> tuple[bytes, Lock]:
    """What was sealed, and the lock to seal it again.

    Raises:
        WrongPassphrase: with another one it may open.
        Damaged: with none it does.
    """
    end = content.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER_BYTES) + 1
    if not is_sealed(content) or not end:
        raise Damaged("it is no encrypted profile")
    tree = _header(content[len(MAGIC) : end])
    lock = _lock(passphrase, bytes.fromhex(tree["salt"]), tree["n"])
    if not hmac.compare_digest(lock.check, bytes.fromhex(tree["check"])):
        raise WrongPassphrase("the passphrase is wrong")
    nonce = bytes.fromhex(tree["nonce"])
    try:
        opened = ChaCha20Poly1305(lock.key).decrypt(nonce, content[end:], content[:end])
    except InvalidTag as error:
        raise Damaged("it was changed or is damaged (its authentication fails)") from error
    return opened, lock


def _lock(passphrase: str, salt: bytes, n: int) -> Lock:
    made = hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=n,
        r=SCRYPT_R,
        p=SCRYPT_P,
        maxmem=MAX_MEMORY,
        dklen=2 * KEY_BYTES,
    )
    check = hashlib.sha256(b"unvisor check" + made[KEY_BYTES:]).digest()[:CHECK_BYTES]
    return Lock(made[:KEY_BYTES], check, salt, n)


def _header(line: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(line)
        named = (tree["kdf"], tree["r"], tree["p"], tree["cipher"])
        n = tree["n"]
        lengths = {"salt": SALT_BYTES, "nonce": NONCE_BYTES, "check": CHECK_BYTES}
        fits = all(
            _HEX.fullmatch(tree[key]) and len(tree[key]) == 2 * size
            for key, size in lengths.items()
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Damaged("its header is damaged") from error
    if named != ("scrypt", SCRYPT_R, SCRYPT_P, "chacha20-poly1305") or not fits:
        raise Damaged("it was sealed in a way that is unknown here")
    if type(n) is not int or not 1 << 10 <= n <= MAX_N or n & (n - 1):
        raise Damaged("its header asks for unreasonable work")
    return dict(tree)
