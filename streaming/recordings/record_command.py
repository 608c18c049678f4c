"""`unvisor record`: keep what a publisher sends, for tests and bug reports."""

from __future__ import annotations

import json as json_module
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from streaming.live_line import LiveLine
from streaming.recordings.stream_recorder import TOPICS, StreamRecorder
from streaming.watch import (
    DEFAULT_ENDPOINT,
    KEY_HELP,
    SERVER_KEY_HELP,
    NobodyPublishes,
    client_keys,
)

POLL_S = 0.1
SHOW_EVERY_S = 0.25


def record(
    endpoint: Annotated[str, typer.Argument(help="Publisher to record.")] = DEFAULT_ENDPOINT,
    *,
    out: Annotated[Path, typer.Option("--out", help="File to write, such as me.uvrec.")],
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Topic or prefix to keep; repeat for more. Default: all of them."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop so long after the first message.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for the first message.")
    ] = 5.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    key: Annotated[Path | None, typer.Option(help=KEY_HELP)] = None,
    server_key: Annotated[str | None, typer.Option(help=SERVER_KEY_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Record every message with its time of arrival. Ends with Ctrl-C or after --seconds.

    The file shows a face and is readable by its owner only. `unvisor replay FILE` plays it.
    """
    errors = Console(stderr=True, highlight=False)
    topics = tuple(topic) if topic else TOPICS
    keys = client_keys(key, server_key)
    with (
        StreamRecorder(endpoint, out, topics, overwrite, keys=keys) as recorder,
        LiveLine(console=errors, auto_refresh=False) as live,
        suppress(KeyboardInterrupt),  # the way to stop
        _sigterm_as_ctrl_c(),
    ):
        _follow(recorder, live, timeout, seconds)
    if recorder.error is not None:
        raise recorder.error
    if not recorder.messages:
        if not overwrite:  # else nothing was replaced
            out.unlink()
        if recorder.trouble is not None:
            raise recorder.trouble
        raise _nothing_came(recorder.endpoint, topic or [])
    if json:
        typer.echo(json_module.dumps(_summary(recorder)))
    else:
        errors.print(f"{_told(recorder)} in {out}")


def _nothing_came(endpoint: str, topics: list[str]) -> NobodyPublishes:
    """With topics of the user's own these are as likely to be wrong as the address."""
    wanted = f" of {' or '.join(topics)}" if topics else ""
    return NobodyPublishes(
        f"Nothing{wanted} came from {endpoint}, so nothing was recorded.",
        "Check the spelling of --topic, or leave it out, and that `unvisor run` sends."
        if topics
        else "Start `unvisor run` or `unvisor demo` first, or give the address it prints.",
    )


def _follow(
    recorder: StreamRecorder, live: LiveLine, timeout_s: float, seconds: float | None
) -> None:
    """Until the time is over, the disk is full, or nothing came at all."""
    began_s = time.monotonic()
    first_s: float | None = None
    shown_s = 0.0
    while not recorder.is_finished:
        time.sleep(POLL_S)
        now_s = time.monotonic()
        if first_s is None and recorder.messages:
            first_s = now_s
        if first_s is None and now_s - began_s > timeout_s:
            return
        if first_s is not None and seconds is not None and now_s - first_s >= seconds:
            return
        if now_s - shown_s >= SHOW_EVERY_S:
            shown_s = now_s
            live.update(Text(f"recording  {_told(recorder)}  Ctrl-C ends"), refresh=True)


def _told(recorder: StreamRecorder) -> str:
    lost = f", {recorder.dropped} left out (the disk is too slow)" if recorder.dropped else ""
    return f"{recorder.messages} messages, {recorder.bytes / 1e6:.1f} MB{lost}"


def _summary(recorder: StreamRecorder) -> dict[str, object]:
    return {
        "endpoint": recorder.endpoint,
        "file": str(recorder.path),
        "messages": recorder.messages,
        "bytes": recorder.bytes,
        "dropped": recorder.dropped,
    }


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """A service that is stopped ends its recording as a person does."""

    def act(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, act)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
