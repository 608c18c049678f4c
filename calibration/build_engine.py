"""`unvisor build-engine`: makes the network fast on this very GPU, once, before a session."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from models.engine.cuda.driver import Gpu, find_gpu
from models.engine.interface import EngineError
from models.engine.onnx import OnnxEngine
from models.engine.opening import try_stored
from models.engine.plans.library import PRECISIONS, TensorRt, find_tensorrt
from models.engine.plans.making import choose_precision, make_engine
from models.engine.plans.progress import OnProgress
from models.engine.plans.store import EngineStore, StoredPlan
from models.shipped import SHIPPED_NETWORK, Network, load_network
from models.weights_error import WeightsError
from streaming.errors import UserError

LEAST_STEP = 0.005  # of the share done, between two progress events


def build_engine(
    weights: Annotated[
        Path, typer.Option(help="Network (.onnx); the shipped one unless told.")
    ] = SHIPPED_NETWORK,
    precision: Annotated[
        str, typer.Option(help="fp16, fp32 or int8; auto: int8 for quantised networks, else fp16.")
    ] = "auto",
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Build for other GPUs instead, such as SM86; repeat it for several. "
            "Needs TensorRT-RTX and no GPU."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where engines are kept; the user's cache unless told.")
    ] = None,
    rebuild: Annotated[bool, typer.Option(help="Build even if the engine fits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    events: Annotated[bool, typer.Option("--events", hidden=True)] = False,
) -> None:
    """Build the TensorRT engine of a network for this GPU; sessions then use it by themselves."""
    network = _network(weights)
    library, gpu = _tools(tuple(target or ()))
    store = EngineStore(folder)
    try:
        chosen = choose_precision(network, _known(precision))
        with _told(as_json, events) as on_progress:
            stored = make_engine(
                network,
                chosen,
                library,
                gpu,
                store,
                targets=tuple(target or ()),
                rebuild=rebuild,
                on_progress=on_progress,
            )
        if gpu is not None and stored.manifest.parity_db is None:
            stored = try_stored(network, library, stored, store, OnnxEngine(network))
    except EngineError as error:
        raise UserError(str(error), "`unvisor doctor` checks what TensorRT needs here.") from error
    except WeightsError as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        raise UserError("Stopped; no engine was built.") from None
    _report(stored, as_json)


def _network(weights: Path) -> Network:
    try:
        return load_network(weights)
    except WeightsError as error:
        raise UserError(str(error)) from error


def _known(precision: str) -> str:
    if precision not in ("auto", *PRECISIONS):
        raise UserError(
            f"There is no precision {precision!r}.", f"Choose auto or {', '.join(PRECISIONS)}."
        )
    return precision


def _tools(targets: tuple[str, ...]) -> tuple[TensorRt, Gpu | None]:
    """TensorRT, and the GPU unless the engine is for another machine's."""
    gpu = None if targets else find_gpu()
    if gpu is None and not targets:
        raise UserError(
            "There is no NVIDIA GPU here, or no driver for it: onnxruntime runs the network.",
            "`unvisor doctor` checks it; `--target SM86` builds for another machine.",
        )
    try:
        return find_tensorrt(["tensorrt-rtx"] if targets else ["tensorrt", "tensorrt-rtx"]), gpu
    except EngineError as error:
        step = 'Install it with `pip install -e ".[tensorrt-rtx]"`.' if targets else ""
        raise UserError(str(error), step) from error


@contextmanager
def _told(as_json: bool, events: bool) -> Iterator[OnProgress]:
    """What is told of the build: a bar for people, lines for the program that asked for it."""
    if events:
        yield _EventLines()
    elif as_json:
        yield lambda share, phase: None
    else:
        with _bar() as on_progress:
            yield on_progress


@contextmanager
def _bar() -> Iterator[OnProgress]:
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading the network", total=1.0)
        yield lambda share, phase: progress.update(task, completed=share, description=phase)


class _EventLines:
    """One JSON line whenever the build has come on noticeably."""

    def __init__(self, write: Callable[[str], object] = sys.stdout.write) -> None:
        self._write, self._told = write, 0.0

    def __call__(self, share: float, phase: str) -> None:
        if share - self._told < LEAST_STEP and share < 1:
            return
        self._told = share
        event = {"event": "progress", "share": round(share, 4), "phase": phase}
        self._write(json.dumps(event) + "\n")
        sys.stdout.flush()


def _report(stored: StoredPlan, as_json: bool) -> None:
    manifest = stored.manifest
    if as_json:
        tree = {"path": str(stored.path), **dataclasses.asdict(manifest)}
        Console(soft_wrap=True).print_json(json.dumps(tree))
        return
    identity, console = manifest.identity, Console(highlight=False, soft_wrap=True)
    console.print(
        f"{stored.path}: {identity.precision}, {manifest.plan_bytes / 2**20:.1f} MiB, "
        f"{identity.flavour} {identity.tensorrt} for {identity.gpu} "
        f"({identity.compute_capability}), built in {manifest.build_s:.1f} s.",
        markup=False,
    )
    if manifest.parity_db is None:
        console.print("Built for another machine: not run here.")
        return
    console.print(
        f"Against onnxruntime: {manifest.parity_db:.1f} dB; a step takes "
        f"{manifest.latency_ms:.2f} ms (median, upload and download included)."
    )
