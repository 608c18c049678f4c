"""Eye cameras in, eye landmarks out: `python -m hmd_capture`."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, cast, get_args

import cv2
import typer
from rich.console import Console
from rich.markup import escape

from hmd_capture.eye_source import EyeReader, EyesBy, OracleEyeReader, SimulatedEyeSource
from hmd_capture.feed import FEED_PORT
from hmd_capture.live_eyes import LiveEyes
from hmd_capture.network_eyes import NetworkEyeReader
from hmd_capture.program import Parent, run
from hmd_capture.sources.eye_view import EyeCameraSettings, Flip
from streaming.clock_echo import ClockEcho
from streaming.endpoints import normalise_endpoint
from streaming.errors import UserError
from streaming.publisher import Publisher
from streaming.records import Side
from streaming.security.door import Guard, open_guard
from streaming.topics import EYES_PORT

LOGGER = logging.getLogger("hmd_capture")
SOURCES = (
    "uvc:ID, mjpeg:URL, serial:PORT, pupil:tcp://HOST:PORT, gst:…, file:PATH, split:…, osc:PORT"
)

Source = Annotated[str, typer.Option(help=f"Its camera: {SOURCES}.", show_default=False)]
Rotation = Annotated[float, typer.Option(help="Degrees clockwise.")]
Flipped = Annotated[str, typer.Option(help="none, horizontal, vertical or both.")]
Region = Annotated[str, typer.Option(help="x,y,width,height in px.", show_default=False)]


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
    clock: Annotated[
        str, typer.Option(help="Where other machines may ask this one's time (bound here).")
    ] = "",
    eyes: Annotated[
        str, typer.Option(help="network reads the images; oracle believes a simulated headset.")
    ] = "network",
    right: Source = "",
    right_rotation: Rotation = 0.0,
    right_flip: Flipped = "none",
    right_region: Region = "",
    left: Source = "",
    left_rotation: Rotation = 0.0,
    left_flip: Flipped = "none",
    left_region: Region = "",
) -> None:
    """Publish what the eye cameras show; without --right and --left a simulated headset's."""
    cv2.setNumThreads(1)  # images are small: a second thread only waits for the first
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    parent = None if detached else Parent()
    wanted = {
        Side.RIGHT: EyeCameraSettings(right, right_rotation, cast(Flip, right_flip), right_region),
        Side.LEFT: EyeCameraSettings(left, left_rotation, cast(Flip, left_flip), left_region),
    }
    with ExitStack() as stack:
        source, reader = _open(wanted, feed, check_eyes(eyes), frozenset(dropout or ()))
        stack.callback(source.close)
        host, _, port = normalise_endpoint(publish).removeprefix("tcp://").rpartition(":")
        guard = stack.enter_context(open_guard(host, keys, insecure_lan))
        if clock:
            stack.enter_context(_open_clock(clock, guard))
        publisher = stack.enter_context(Publisher(port=int(port), host=host, guard=guard))
        origin = " and ".join(filter(None, (right, left))) or feed
        LOGGER.info("Eye images from %s, eye landmarks to %s", origin, publisher.endpoint)
        counts = run(source, reader, publisher, stopping, parent)
    LOGGER.info("Stopped after %s, %d malformed messages", counts, source.rejected)
    if isinstance(source, LiveEyes):
        LOGGER.info("Rejected and skipped, by source: %s", source.counts())
    if isinstance(reader, NetworkEyeReader) and reader.rejected:
        LOGGER.info("Images not read, by reason: %s", dict(reader.rejected))


def check_eyes(name: str) -> EyesBy:
    """Read `--eyes`; raises `UserError` for anything else."""
    if name not in get_args(EyesBy):
        raise UserError(f"{name!r} cannot read eyes.", f"Use {' or '.join(get_args(EyesBy))}.")
    return cast(EyesBy, name)


def _open(
    wanted: Mapping[Side, EyeCameraSettings], feed: str, eyes: EyesBy, lost: frozenset[Side]
) -> tuple[LiveEyes | SimulatedEyeSource, EyeReader]:
    """Real cameras where one is named, else the simulated headset's."""
    kept = {side: camera for side, camera in wanted.items() if camera.source and side not in lost}
    is_real = any(camera.source for camera in wanted.values())
    if is_real and eyes == "oracle":
        raise UserError(
            "The oracle knows only simulated headsets.", "Leave out --eyes with real cameras."
        )
    reader = OracleEyeReader(lost) if eyes == "oracle" else NetworkEyeReader(lost)
    return (LiveEyes(kept) if is_real else SimulatedEyeSource(feed)), reader


def _open_clock(endpoint: str, guard: Guard) -> ClockEcho:
    host, _, port = normalise_endpoint(endpoint).removeprefix("tcp://").rpartition(":")
    return ClockEcho(int(port), host, guard=guard)


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
        text = f"[red]Error:[/red] {escape(str(error))}"  # it may name ".[serial]"
        Console(stderr=True).print(text, soft_wrap=True, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
