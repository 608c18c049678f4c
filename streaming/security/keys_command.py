"""`unvisor keys`: makes and lists keys, allows clients and revokes them."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streaming.errors import UserError
from streaming.security.keys import (
    PUBLIC_NOTE,
    SERVER_PUBLIC_FILE,
    KeyFolder,
    check_name,
    key_text,
    public_key_or_file,
    write_client,
)

keys = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Keys of the clients that may receive the stream on other machines.",
)
Folder = Annotated[Path | None, typer.Option(help="Folder of keys instead of the user's own.")]


@keys.command()
def new(
    name: Annotated[str, typer.Argument(help="What to call the client, such as anna-pc.")],
    out: Annotated[Path | None, typer.Option(help="File to write; NAME.key by default.")] = None,
    server_key: Annotated[
        str | None,
        typer.Option(help="On the client's machine: the server's public key, or its .pub file."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Make a client's key file.

    On the server: the key is allowed at once; carry the file to the client's machine, by hand or
    with scp. On the client's machine, with --server-key: the secret stays there; NAME.pub is
    written beside it for `unvisor keys allow NAME.pub` on the server.
    """
    path = out or Path(f"{check_name(name)}.key")
    if server_key is None:
        KeyFolder(folder).new_client(name, path)
        _say(
            f"{path} is made and allowed. Carry it to the client's machine over a way that nobody "
            "else reads, delete it here, and use it there:\n"
            f"  unvisor watch HOST:50021 --key {path.name}\n"
            f"  unvisor relay HOST --key {path.name}"
        )
        return
    made = write_client(name, public_key_or_file(server_key)[0], path)
    public_path = path.with_suffix(".pub")
    _write_public(public_path, name, made.public)
    _say(
        f"{path} is made; it stays here. Let it in on the server:\n"
        f"  unvisor keys allow {public_path.name}"
    )


@keys.command(name="list")
def list_keys(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    folder: Folder = None,
) -> None:
    """List the allowed clients and this server's public key."""
    store = KeyFolder(folder)
    allowed = store.allowed()
    server = store.server().public if allowed or store.has_server else None
    if json:
        tree = {"folder": str(store.path), "server": server, "allowed": allowed}
        typer.echo(json_module.dumps(tree))
        return
    if server is None:
        _say("No keys yet. `unvisor keys new NAME` makes the server's and a client's.")
        return
    _say(f"server  {server}  ({store.path / SERVER_PUBLIC_FILE})")
    for name, public in allowed.items():
        _say(f"client  {public}  {name}")
    if not allowed:
        _say("No client is allowed. `unvisor keys new NAME` makes a key for one.")


@keys.command()
def allow(
    key: Annotated[str, typer.Argument(help="A client's .pub file, or its public key.")],
    name: Annotated[str | None, typer.Option(help="What to call it, if the file does not.")] = None,
    folder: Folder = None,
) -> None:
    """Let a client in; a running server notices at once."""
    public, own_name = public_key_or_file(key)
    called = name or own_name
    if not called:
        raise UserError("The key has no name.", "Add --name NAME.")
    store = KeyFolder(folder)
    store.ensure_server()
    store.allow(called, public)
    _say(f"{called} is allowed.")


@keys.command()
def revoke(
    name: Annotated[str, typer.Argument(help="The client's name in `unvisor keys list`.")],
    folder: Folder = None,
) -> None:
    """Take a client's key away; a running server cuts its connection within a second."""
    KeyFolder(folder).revoke(name)
    _say(f"{name} is let in no more.")


def _write_public(path: Path, name: str, public: str) -> None:
    try:
        path.write_text(key_text(PUBLIC_NOTE, {"name": name}, public), encoding="ascii")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from error


def _say(text: str) -> None:
    # Keys hold brackets, which are no markup.
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
