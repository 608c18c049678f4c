"""Eye cameras in, eye landmarks out: `python -m hmd_capture`."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hmd_capture.eye_source import OracleEyeReader, SimulatedEyeSource
from hmd_capture.feed import FEED_PORT
from hmd_capture.program import Parent, run
from streaming.endpoints import normalise_endpoint
from streaming.errors import UserError
from streaming.publisher import Publisher
from streaming.records import Side
from streaming.security.door import open_guard
from streaming.topics import EYES_PORT

LOGGER = logging.getLogger("hmd_capture")


def capture(
    feed: Annotated[
        str, typer.Option(help="Where simulated eye images arrive (bound here).")
    ] = f"tcp://127.0.0.1:{FEED_PORT}",
    publish: Annotated[
        str,
        typer.Option("--publish", "--publisher", help="Where eye landmarks go (bound here)."),
    ] = f"tcp://127.0.0.1:{EYES_PORT}",
    dropout: Annotated[
        list[Side] | None, typer.Option(help="Report nothing for this eye, to try a lost camera.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Folder of keys for other machines, if not the user's own.")
    ] = None,
    insecure_lan: Annotated[
        bool, typer.Option("--insecure-lan", help="Publish to other machines without keys.")
    ] = False,
    detached: Annotated[
        bool, typer.Option(help="Go on when the program that started this one ends.")
    ] = False,
) -> None:
    """Publish what the eye cameras show; so far the cameras are those of a simulated headset."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    parent = None if detached else Parent()
    host, _, port = normalise_endpoint(publish).removeprefix("tcp://").rpartition(":")
    source = SimulatedEyeSource(feed)
    try:
        with (
            open_guard(host, keys, insecure_lan) as guard,
            Publisher(port=int(port), host=host, guard=guard) as publisher,
        ):
            LOGGER.info("Eye images from %s, eye landmarks to %s", feed, publisher.endpoint)
            reader = OracleEyeReader(frozenset(dropout or ()))
            counts = run(source, reader, publisher, stopping, parent)
    finally:
        source.close()
    LOGGER.info("Stopped after %s, %d malformed messages", counts, source.rejected)


def main() -> None:
    """Run the command; a mistake of the user's is one sentence and exit code 1."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s"
    )
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(capture)
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(f"[red]Error:[/red] {error}", soft_wrap=True, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
