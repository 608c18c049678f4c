"""Where the passphrase of an encrypted profile comes from: the environment, or the keyboard.

Never from an argument or a settings file. For unattended starts `UNVISOR_PASSPHRASE_FD` names an
open file descriptor to read it from (so does the supervisor for its worker), or
`UNVISOR_PASSPHRASE` is the passphrase itself.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from streaming.errors import UserError

VARIABLE, FD_VARIABLE = "UNVISOR_PASSPHRASE", "UNVISOR_PASSPHRASE_FD"
MIN_LENGTH = 8
MAX_BYTES = 1024


def given() -> str | None:
    """The passphrase that the environment gives, or None.

    Raises:
        UserError: the descriptor that it names cannot be read.
    """
    descriptor = os.environ.get(FD_VARIABLE)
    if descriptor:
        return _read(descriptor)
    return os.environ.get(VARIABLE) or None


def asked(prompt: str, *, is_new: bool = False) -> str:
    """What somebody types unseen, twice when it is new.

    Raises:
        UserError: there is nobody at a terminal, or a new passphrase is too short.
    """
    if not sys.stdin.isatty():
        raise UserError(
            "A passphrase is needed, and there is no terminal to ask for it.",
            f"Set {FD_VARIABLE} to the number of an open file, or {VARIABLE} to the passphrase.",
        )
    text: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=is_new, err=True)
    return text


def new_passphrase(prompt: str = "New passphrase") -> str:
    """A passphrase to encrypt with, from the environment or asked for twice.

    Raises:
        UserError: it is too short, or there is nobody to ask.
    """
    text = given() or asked(prompt, is_new=True)
    if len(text) < MIN_LENGTH:
        raise UserError(
            f"A passphrase of {len(text)} characters is too short.",
            f"Give at least {MIN_LENGTH}; a few words are easy to keep in mind.",
        )
    return text


def without_secret(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for child processes that are not to know the passphrase."""
    return {k: v for k, v in environment.items() if k not in (VARIABLE, FD_VARIABLE)}


@contextmanager
def secret_pipe(passphrase: str | None) -> Iterator[tuple[tuple[int, ...], dict[str, str]]]:
    """Descriptors and environment to start a child with, so that `given` finds it there."""
    if passphrase is None:
        yield (), {}
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, passphrase.encode()[:MAX_BYTES])  # fits into any pipe
        os.close(writing)
        yield (reading,), {FD_VARIABLE: str(reading)}
    finally:
        os.close(reading)


@functools.lru_cache(maxsize=1)  # a pipe can be read once
def _read(descriptor: str) -> str:
    try:
        with os.fdopen(int(descriptor), "rb") as file:
            text = file.read(MAX_BYTES).decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UserError(
            f"No passphrase can be read from the descriptor {descriptor!r}.",
            f"Set {FD_VARIABLE} to the number of an open file.",
        ) from error
    if not text:
        raise UserError(f"The passphrase that {FD_VARIABLE} gives is empty.")
    return text
