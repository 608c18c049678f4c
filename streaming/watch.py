"""`unvisor watch`: the reference client on the command line."""

from __future__ import annotations

import json as json_module
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.console import Console
from rich.text import Text

from streaming.ages import AgeStatistics
from streaming.endpoints import LOOPBACK
from streaming.errors import UserError
from streaming.heard_pause import HeardPause
from streaming.live_line import LiveLine
from streaming.messages import FrameMessage
from streaming.security.keys import ClientKeys, load_client
from streaming.subscriber import Arrival, Subscriber
from streaming.topics import FRAME_WORLD, PUBLISHER_PORT
from streaming.watch_outputs import Output, OutputChoice, open_outputs

DEFAULT_ENDPOINT = f"tcp://{LOOPBACK}:{PUBLISHER_PORT}"
WORDS = "notify.unvisor."  # pause and resume are announced here
POLL_S = 0.2
BELIEVABLE_MS = 60_000  # an age beyond this, or below zero, compares two unlike clocks
SHOW_EVERY_S = 0.25  # percentiles over many frames are not for every frame
REFUSED_S = 1.5  # how long the publisher must turn us away before we give up
KEY_HELP = "This client's key file, for a server on another machine."
SERVER_KEY_HELP = "The server's public key or its .pub file, if the key file names another."


class NobodyPublishes(UserError):
    """No frame came in time."""


class Watcher:
    """What has been seen of the stream so far."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.statistics = AgeStatistics()
        self.statuses: Counter[str] = Counter()
        self.synthesised_frames = 0
        self.newest: FrameMessage | None = None
        self.pause = HeardPause()
        self.outputs: Sequence[Output] = ()
        self._started_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first frame; 0 before it."""
        return 0.0 if self._started_s is None else time.monotonic() - self._started_s

    def add(self, arrival: Arrival) -> None:
        """Count one frame, or note that the publisher paused or resumed."""
        message = arrival.message
        self.pause.hear(message)
        if isinstance(message, FrameMessage):
            self.newest = message
            self._started_s = self._started_s or time.monotonic()
            self.statuses.update(status.value for status in message.status)
            self.synthesised_frames += message.synthesised
            self.statistics.add(message.index, message.capture_time_ns, arrival.arrival_time_ns)
        for output in self.outputs:
            output.take(arrival)

    def line(self) -> str:
        """One line for the terminal."""
        if self.newest is None:
            return "paused by the publisher" if self.pause.is_on else "waiting for the first frame"
        seen = self.statistics
        statuses = ["PAUSED"] if self.pause.is_on else [s.value for s in self.newest.status]
        return (
            f"{self.newest.width}×{self.newest.height}  {seen.fps:5.1f} fps  "
            f"{_told_age(seen)}  "
            f"drops {seen.drops}  {' '.join(statuses)}  {_told_source(self.newest)}  "
            f"landmarks {self.newest.landmark_source}"
        )

    def summary(self, endpoint: str) -> dict[str, object]:
        """Everything as JSON values; `status` counts frames by status."""
        newest = self.newest
        return {
            "endpoint": endpoint,
            "seconds": round(self.elapsed_s, 3),
            **self.statistics.summary(),
            "status": dict(self.statuses),
            "synthesised_frames": self.synthesised_frames,
            "filler": newest.filler if newest else None,
            "landmarks": newest.landmark_source if newest else None,
            "width": newest.width if newest else None,
            "height": newest.height if newest else None,
        }


def watch(
    endpoint: Annotated[str, typer.Argument(help="Publisher to watch.")] = DEFAULT_ENDPOINT,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after so many seconds of frames.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds without any frame that count as silence.")
    ] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write the newest frame to FILE.jpg.")] = None,
    virtual_camera: Annotated[
        bool, typer.Option("--virtual-camera", help="Feed a webcam that other programs can use.")
    ] = False,
    camera_name: Annotated[
        str | None, typer.Option(help="Which one: /dev/videoN or its label; else the first.")
    ] = None,
    camera_size: Annotated[str, typer.Option(help="Its picture: WIDTHxHEIGHT.")] = "1280x720",
    camera_fps: Annotated[float, typer.Option(min=1, max=120, help="Its steady rate.")] = 30.0,
    mirror: Annotated[bool, typer.Option("--mirror", help="Left and right swapped in it.")] = False,
    preview_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Show it in a browser here; 0 = any free port."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help=KEY_HELP)] = None,
    server_key: Annotated[str | None, typer.Option(help=SERVER_KEY_HELP)] = None,
) -> None:
    """Show how the stream arrives: frames per second, age, drops, status, filler.

    Ages are true when the publisher runs on this machine. Ends with Ctrl-C, `--seconds` or
    `--frames`; when no frame comes within the timeout it fails, unless it feeds a camera or a page.
    """
    watcher = Watcher()
    choice = OutputChoice(
        virtual_camera, camera_name, camera_size, camera_fps, mirror, preview_port
    )
    with (
        open_outputs(choice) as outputs,
        Subscriber(endpoint, [FRAME_WORLD, WORDS], client_keys(key, server_key)) as subscriber,
        LiveLine(Text(watcher.line()), console=Console(stderr=json), auto_refresh=False) as live,
        suppress(KeyboardInterrupt),  # the way to stop; what was seen is reported below
    ):
        for where in outputs:
            live.console.print(where, highlight=False)
        # Who looks through a camera or a page waits for the stream to come back.
        patience_s = math.inf if outputs else timeout
        watcher.outputs = tuple(outputs.values())
        _follow(subscriber, watcher, live, patience_s, frames or math.inf, seconds or math.inf)
    if save is not None:
        _save_newest(watcher.newest, save)
    if json:
        typer.echo(json_module.dumps(watcher.summary(subscriber.endpoint)))


def _follow(
    subscriber: Subscriber,
    watcher: Watcher,
    live: LiveLine,
    timeout_s: float,
    frames: float,
    seconds: float,
) -> None:
    """Watch until enough was seen or the stream falls silent without having been paused."""
    heard_s = shown_s = let_in_s = time.monotonic()
    while watcher.statistics.frames < frames and watcher.elapsed_s < seconds:
        for arrival in _in_order(subscriber.take(WORDS, 0), subscriber.take(FRAME_WORLD, POLL_S)):
            watcher.add(arrival)
            heard_s = time.monotonic()
        if time.monotonic() - shown_s >= SHOW_EVERY_S:
            shown_s = time.monotonic()
            for output in watcher.outputs:
                output.check()
            live.update(Text(watcher.line(), overflow="ellipsis", no_wrap=True), refresh=True)
        if (trouble := subscriber.trouble) is None:
            let_in_s = time.monotonic()
        elif time.monotonic() - let_in_s > REFUSED_S:
            raise trouble
        if time.monotonic() - heard_s > timeout_s and not watcher.pause.is_on:
            if watcher.newest is not None:
                break  # the publisher ended: report what was seen
            raise NobodyPublishes(
                f"No frame came from {subscriber.endpoint} within {timeout_s:g} s.",
                "Start `unvisor run` or `unvisor demo` first, or give the address it prints.",
            )
    live.update(Text(watcher.line()), refresh=True)


def _told_source(frame: FrameMessage) -> str:
    return f"synthesised by {frame.filler}" if frame.synthesised else "the camera alone"


def _told_age(seen: AgeStatistics) -> str:
    middle_ms, late_ms = seen.age_ms(50) or 0.0, seen.age_ms(99) or 0.0
    if 0 <= middle_ms < BELIEVABLE_MS:
        return f"age p50 {middle_ms:.0f} ms p99 {late_ms:.0f} ms"
    return "age unknown (by another clock)"  # another machine's, or a recording's


def _in_order(*arrivals: Arrival | None) -> list[Arrival]:
    """As they came: a frame of before a pause must not be taken for the end of the pause."""
    came = [arrival for arrival in arrivals if arrival is not None]
    return sorted(came, key=lambda arrival: arrival.arrival_time_ns)


def client_keys(key: Path | None, server_key: str | None) -> ClientKeys | None:
    """Read the keys that a command was given; None when it was given none."""
    if key is not None:
        return load_client(key, server_key)
    if server_key is not None:
        raise UserError("--server-key needs a key of one's own.", "Add --key FILE.")
    return None


def _save_newest(frame: FrameMessage | None, path: Path) -> None:
    if frame is None:
        raise UserError("No frame arrived, so none was saved.", "Wait for the first frame.")
    next_step = "Name a .jpg or .png file in a folder that exists."
    try:
        if frame.format == "jpeg" and path.suffix.lower() in (".jpg", ".jpeg"):
            path.write_bytes(frame.pixels)
        elif not cv2.imwrite(str(path), frame.image()):
            raise UserError(f"Cannot write {path}.", next_step)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.", next_step) from error
    except cv2.error as error:  # its text is about OpenCV's own files
        raise UserError(f"Cannot write {path}.", next_step) from error
