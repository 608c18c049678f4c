"""`unvisor replay`: feed a recording back as if live."""

from __future__ import annotations

import dataclasses
import json as json_module
import threading
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streaming.recordings.reader import Recording, RecordingSummary
from streaming.recordings.replayer import Replayer, Times
from streaming.topics import CONTROL_PORT, PUBLISHER_PORT

SHOW_EVERY_S = 0.5


class TimesChoice(str, Enum):
    """Which times the replayed messages carry."""

    RECORDED = "recorded"
    NOW = "now"


def replay(
    file: Annotated[Path, typer.Argument(help="Recording, from `unvisor record`.")],
    speed: Annotated[
        float, typer.Option(min=0.01, max=100, help="Recorded seconds per second.")
    ] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Again and again.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Publisher's port; 0 = any.")
    ] = PUBLISHER_PORT,
    control_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Control port; 0 = any.")
    ] = CONTROL_PORT,
    times: Annotated[
        TimesChoice,
        typer.Option(help="recorded: the very bytes. now: stamped anew, ages as they were."),
    ] = TimesChoice.RECORDED,
    wait: Annotated[bool, typer.Option(help="Begin when the first client has subscribed.")] = True,
    info: Annotated[bool, typer.Option("--info", help="Tell what is in FILE, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --info: as JSON.")] = False,
) -> None:
    """Publish a recording on the ports of `unvisor run`: same bytes, same order, same gaps.

    Clients connect as usual. Ends with the recording, or with Ctrl-C.
    """
    recording = Recording(file)
    if info or json:
        _show(recording, json)
        return
    errors = Console(stderr=True, highlight=False)
    chosen: Times = "now" if times is TimesChoice.NOW else "recorded"
    with (
        Replayer(recording, port, control_port, speed, chosen) as replayer,
        suppress(KeyboardInterrupt),
    ):
        where = f"port {replayer.port}, control {replayer.control_port}"
        if wait:
            errors.print(f"waiting for a client on {where}")
        if not wait or replayer.await_client():
            errors.print(f"playing {file} on {where}; Ctrl-C ends")
            _play(replayer, loop)
    errors.print(f"{replayer.messages} messages in {replayer.passes} complete passes")


def _play(replayer: Replayer, loop: bool) -> None:
    """On a thread of its own: Ctrl-C is taken here at once, whatever the gaps are."""
    player = threading.Thread(target=replayer.run, args=(loop,), daemon=True)
    player.start()
    try:
        while player.is_alive():
            player.join(SHOW_EVERY_S)
    finally:
        replayer.stop()
        player.join()


def _show(recording: Recording, as_json: bool) -> None:
    summary = recording.summary()
    if as_json:
        header = dataclasses.asdict(recording.header)
        typer.echo(json_module.dumps({**header, **_tree(summary)}))
        return
    console = Console(highlight=False)
    console.print(
        f"{summary.messages} messages, {summary.seconds:.1f} s, {summary.bytes / 1e6:.1f} MB, "
        f"from {recording.header.endpoint}"
    )
    for topic, count in sorted(summary.topics.items()):
        console.print(f"  {topic}: {count}")
    if not summary.is_complete:
        console.print(f"cut off, or still being written ({summary.torn_bytes} bytes torn)")
    if summary.dropped:
        console.print(f"{summary.dropped} messages were left out: the disk was too slow")


def _tree(summary: RecordingSummary) -> dict[str, object]:
    tree = dataclasses.asdict(summary)
    return {f"recorded_{key}" if key == "topics" else key: value for key, value in tree.items()}
