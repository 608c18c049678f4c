"""`unvisor bench-eyes`: what reading eye images costs here, and whether it keeps up."""

from __future__ import annotations

import json as json_module
import os
import platform
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
import zmq
from rich.console import Console
from rich.table import Table

from hmd_capture.feed import EyeFeed
from hmd_capture.network_eyes import NetworkEyeReader
from streaming.clock import monotonic_ns
from streaming.errors import UserError
from streaming.messages import EyeImage, decode
from streaming.records import EyeObservation, ImageU8, Side
from streaming.topics import EYES

SIZES = ((128, 96), (192, 192), (240, 240))  # width, height in px
READS = 300
WARM_UP = 20
START_S = 30.0  # a program that publishes nothing by then never will
SETTLE_S = 0.5  # for what is still on its way when the feeding ends


@dataclass(frozen=True)
class ReadCost:
    """One core's cost of reading one image."""

    width: int
    height: int
    best_ms: float  # without what else the machine did meanwhile
    p50_ms: float
    cpu_ms: float  # mean processor time, all threads


@dataclass(frozen=True)
class Sustained:
    """Both eyes fed to the real program at one rate."""

    rate_hz: float
    sent: int  # images, both eyes
    arrived: int  # observations
    drops: int
    age_p50_ms: float  # from the image's capture to the observation's arrival
    age_p99_ms: float
    cpu_ms_per_image: float  # of the whole program: sockets, reading, publishing


def bench_eyes(
    seconds: Annotated[float, typer.Option(min=1.0, help="Seconds at each rate.")] = 10.0,
    rate: Annotated[
        list[float] | None, typer.Option(help="Images per second and eye; may be repeated.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to FILE.")] = None,
) -> None:
    """Measure the reading of eye images: the network alone, then the program with both eyes.

    Figures are of this machine as busy as it is: its load is written beside them.
    """
    console = Console()
    if json is not None and not json.resolve().parent.is_dir():  # said before the wait
        raise UserError(f"There is no folder {json.parent}.", "Make it first.")
    cv2.setNumThreads(1)
    reader = NetworkEyeReader()
    with console.status("reading images"):
        costs = [measure_reading(reader, *size) for size in SIZES]
    sustained = []
    for hz in rate or [60.0, 120.0]:
        with console.status(f"2 × {hz:g} Hz for {seconds:g} s"):
            sustained.append(measure_sustained(hz, seconds))
    console.print(_table(costs, sustained))
    if json is not None:
        tree = {
            "machine": f"{os.cpu_count()} × {platform.machine()}",
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "reading": [asdict(cost) for cost in costs],
            "sustained": [asdict(run) for run in sustained],
        }
        try:
            json.write_text(json_module.dumps(tree, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"Cannot write {json}: {error.strerror}.", "Name another.") from error


def measure_reading(
    reader: NetworkEyeReader, width: int, height: int, reads: int = READS
) -> ReadCost:
    """Read one image again and again, from the camera's pixels to the observation."""
    image = EyeImage(Side.RIGHT, 0, 0, drawn_eye(width, height), None)
    for _ in range(WARM_UP):
        reader.read(image)
    cpu_ns, took_ns = time.process_time_ns(), []
    for _ in range(reads):
        started_ns = time.perf_counter_ns()
        reader.read(image)
        took_ns.append(time.perf_counter_ns() - started_ns)
    cpu_ms = (time.process_time_ns() - cpu_ns) / reads / 1e6
    best, middle = min(took_ns) / 1e6, float(np.median(took_ns)) / 1e6
    return ReadCost(width, height, round(best, 3), round(middle, 3), round(cpu_ms, 3))


def measure_sustained(rate_hz: float, seconds: float) -> Sustained:
    """Feed both eyes to a program of its own and listen to what it publishes.

    Raises:
        UserError: the program does not start.
    """
    feed_at, eyes_at = (f"tcp://127.0.0.1:{_free_port()}" for _ in range(2))
    command = [sys.executable, "-m", "hmd_capture", "--feed", feed_at, "--publish", eyes_at]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    listener: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    listener.setsockopt(zmq.LINGER, 0)
    program = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        listener.connect(eyes_at)
        for topic in EYES:
            listener.setsockopt(zmq.SUBSCRIBE, topic.encode())
        with EyeFeed(feed_at) as feed:
            _wait(feed, listener, program)
            cpu_s = _cpu_seconds(program.pid)
            sent, ages_ms = _fed(feed, listener, rate_hz, seconds)
            cpu_s = _cpu_seconds(program.pid) - cpu_s
    finally:
        listener.close()
        program.terminate()
        program.wait()
    return Sustained(
        rate_hz=rate_hz,
        sent=sent,
        arrived=len(ages_ms),
        drops=sent - len(ages_ms),
        age_p50_ms=round(float(np.percentile(ages_ms or [np.nan], 50)), 2),
        age_p99_ms=round(float(np.percentile(ages_ms or [np.nan], 99)), 2),
        cpu_ms_per_image=round(1000 * cpu_s / max(sent, 1), 3),
    )


def drawn_eye(width: int, height: int) -> ImageU8:
    """An eye of a few ellipses, (H,W) grey: reading costs the same whatever is shown."""
    image = np.full((height, width), 150, np.uint8)
    middle = (width / 2, height / 2)
    for across, down, level in ((0.6, 0.3, 205.0), (0.26, 0.26, 90.0), (0.1, 0.1, 20.0)):
        box = (middle, (across * width, down * width), 0.0)
        cv2.ellipse(image, box, (level,), -1, cv2.LINE_AA)
    return image


def _fed(
    feed: EyeFeed, listener: zmq.Socket[bytes], rate_hz: float, seconds: float
) -> tuple[int, list[float]]:
    """Send at the rate, both eyes at once; returns images sent and the observations' ages."""
    image, ages_ms, sent = drawn_eye(128, 96), [], 0
    due_s = time.monotonic()
    end_s = due_s + seconds
    while due_s < end_s:
        while (left_s := due_s - time.monotonic()) > 0:
            ages_ms += _heard(listener, left_s)
        time_ns = monotonic_ns()
        for side in Side:
            feed.send(EyeImage(side, sent // 2, time_ns, image, None))
        sent += 2
        due_s += 1 / rate_hz
    settled_s = time.monotonic() + SETTLE_S
    while (left_s := settled_s - time.monotonic()) > 0:
        ages_ms += _heard(listener, left_s)
    return sent, ages_ms


def _heard(listener: zmq.Socket[bytes], timeout_s: float) -> list[float]:
    """Ages in ms of what arrives next, or nothing."""
    if not listener.poll(max(1, round(1000 * timeout_s))):
        return []
    message = decode(listener.recv_multipart())
    if not isinstance(message, EyeObservation):
        return []
    return [(monotonic_ns() - message.capture_time_ns) / 1e6]


def _wait(feed: EyeFeed, listener: zmq.Socket[bytes], program: subprocess.Popen[bytes]) -> None:
    """Feed until both eyes have been heard and nothing more is on its way."""
    image, deadline_s = drawn_eye(128, 96), time.monotonic() + START_S
    heard: set[bytes] = set()
    while len(heard) < len(Side) or listener.poll(round(1000 * SETTLE_S)):
        if program.poll() is not None or time.monotonic() > deadline_s:
            raise UserError("The eye cameras' program does not answer.", "Run `unvisor doctor`.")
        if len(heard) < len(Side):
            for side in Side:
                feed.send(EyeImage(side, 0, monotonic_ns(), image, None))
        if listener.poll(50):
            heard.add(listener.recv_multipart()[0])


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _table(costs: list[ReadCost], sustained: list[Sustained]) -> Table:
    table = Table("what", "figure", "found")
    for cost in costs:
        table.add_row(
            f"reading {cost.width}×{cost.height}",
            "best / median / processor, ms",
            f"{cost.best_ms:.2f} / {cost.p50_ms:.2f} / {cost.cpu_ms:.2f}",
        )
    for run in sustained:
        table.add_section()
        name = f"2 × {run.rate_hz:g} Hz"
        table.add_row(name, "images sent / dropped", f"{run.sent} / {run.drops}")
        ages = f"{run.age_p50_ms:.1f} / {run.age_p99_ms:.1f}"
        table.add_row("", "age of an observation, p50 / p99, ms", ages)
        table.add_row("", "processor per image, whole program, ms", f"{run.cpu_ms_per_image:.2f}")
    return table
