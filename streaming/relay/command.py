"""`unvisor relay`: brings an encrypted stream to clients on this machine that know no keys."""

from __future__ import annotations

import json as json_module
import math
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from streaming.endpoints import AddressMalformed, is_loopback
from streaming.errors import UserError
from streaming.live_line import LiveLine
from streaming.relay.both_halves import Relay
from streaming.security.keys import load_client
from streaming.topics import CONTROL_PORT, PUBLISHER_PORT
from streaming.watch import SERVER_KEY_HELP

SHOW_EVERY_S = 0.5


def relay(
    server: Annotated[str, typer.Argument(help="HOST or HOST:CONTROL_PORT of the server.")],
    key: Annotated[Path, typer.Option(help="This client's key file (`unvisor keys new NAME`).")],
    server_key: Annotated[str | None, typer.Option(help=SERVER_KEY_HELP)] = None,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port for questions; 0: any free one.")
    ] = CONTROL_PORT,
    publisher_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port for pictures; 0: any free one.")
    ] = PUBLISHER_PORT,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after so many seconds.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Decrypt the stream of another machine and publish it on this machine's loopback only.

    Existing clients connect to 127.0.0.1 as if the server ran here. Ends with Ctrl-C.
    """
    host, port = server_address(server)
    if (host == "localhost" or is_loopback(host)) and port in (control_port, publisher_port):
        raise UserError(
            f"Port {port} of {host} is where the relay itself would listen.",
            "Name the machine that runs `unvisor run`; its own clients need no relay.",
        )
    keys = load_client(key, server_key)
    ends_s = time.monotonic() + (seconds or math.inf)
    with (
        Relay(host, keys, port, control_port, publisher_port) as opened,
        LiveLine(console=Console(stderr=True), auto_refresh=False) as live,
        suppress(KeyboardInterrupt),
    ):
        before = 0
        while (left_s := ends_s - time.monotonic()) > 0:
            time.sleep(min(SHOW_EVERY_S, left_s))
            passed = opened.pictures.passed.total()
            live.update(Text(_line(opened, (passed - before) / SHOW_EVERY_S)), refresh=True)
            before = passed
    if json:
        summary = {
            "server": f"{host}:{port}",
            "passed": dict(opened.pictures.passed),
            "skipped": opened.pictures.skipped,
            "trouble": str(opened.trouble) if opened.trouble else None,
        }
        typer.echo(json_module.dumps(summary))


def server_address(text: str) -> tuple[str, int]:
    """Split `HOST`, `HOST:PORT` or `tcp://HOST:PORT`; raises `AddressMalformed`."""
    match = re.fullmatch(r"(?:tcp://)?([\w.\-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?", text.strip())
    port = int(match[2] or CONTROL_PORT) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise AddressMalformed(
            f"{text!r} is not an address.", "Write it as HOST or HOST:PORT, such as 192.168.1.7."
        )
    return match[1], port


def _line(relay: Relay, rate_hz: float) -> str:
    if relay.trouble is not None:
        return str(relay.trouble)
    state = f"{rate_hz:5.1f} messages/s" if rate_hz else "no pictures asked for, or none sent"
    return f"{relay.address} (pictures on {relay.publisher_port})  {state}"
