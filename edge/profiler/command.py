"""`unvisor profile`: runs the real product for a while and tells where the time goes."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console

from edge.profile import load_profile
from edge.profile.unlock import passphrase_for
from edge.profiler.budget import (
    SHIPPED_BUDGETS,
    Budget,
    choose_budget,
    judge,
    load_budgets,
    verdict_tree,
)
from edge.profiler.chart import write_chart
from edge.profiler.comparison import compare, differences, failures, load_result, read_share
from edge.profiler.layers import layer_times
from edge.profiler.measurement import measure, timing_tree
from edge.profiler.recorder import Recording, SessionRecorder
from edge.profiler.result import result_tree
from edge.profiler.sensors import Sensors
from edge.profiler.subject import Wanted, chosen_session
from edge.profiler.table import print_changes, print_layers, print_result
from edge.profiler.trace import trace_events, write_trace
from edge.settings import SessionSettings, override
from models.engine.choice import session_network
from models.headset.reader import SHIPPED_HEADSET_NET
from models.shipped import shipped_network
from streaming.errors import UserError
from streaming.spans import ProcessSpans, load_spans

CAPACITY_S = 15.0
log = logging.getLogger(__name__)


def profile(
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Name or folder of the wearer's profile.")
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="webcam:ID or a video file; without: the demo's clip.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Render a headset over a bare face.")
    ] = False,
    landmarks: Annotated[
        str | None, typer.Option(help="tracker, mediapipe, or oracle (simulated only).")
    ] = None,
    filler: Annotated[
        str | None, typer.Option(help="auto, unvisor, warp-register, warp-blend, warp or paste.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=3.0, help="Length of the paced run.")] = 30.0,
    capacity: Annotated[
        bool, typer.Option(help="Run a video again, unpaced, for how fast it could go.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Folder for profile.json, .png, .trace.json.")] = Path(
        "out"
    ),
    budget: Annotated[
        str, typer.Option(help="Which budget to hold: auto (this machine's), none, or a name.")
    ] = "auto",
    budget_file: Annotated[
        Path, typer.Option(help="TOML file with budgets of your own.")
    ] = SHIPPED_BUDGETS,
    layers: Annotated[bool, typer.Option("--layers", help="Time every layer, too.")] = False,
    compare_: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", help="Measure nothing: compare two results (before, after)."),
    ] = None,
    fail_over: Annotated[
        str, typer.Option(help="With --compare: exit 1 if a median is slower by more, as 10%.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON as well.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log.")] = False,
) -> None:
    """Measure the real product: every stage, age at a client, load, power, against a budget."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    console = Console(stderr=True, highlight=False)
    allowed = read_share(fail_over) if fail_over else None
    if compare_ is not None:
        _compare(console, *compare_, allowed, as_json)
        return
    cv2.setNumThreads(1)
    chosen = _named_budget(budget, budget_file)
    _check_folder(out)
    wanted = Wanted(config, profile, camera, simulate, landmarks, filler, seconds)
    with chosen_session(wanted, console) as settings:
        result = _measured(settings, console, out, CAPACITY_S if capacity else 0.0, chosen)
    if layers:
        result["layers_ms"] = _layers(settings, console)
    _write_json(out / "profile.json", result)
    print_result(console, result)
    console.print(f"written: {out}/profile.json, profile.png, profile.trace.json (ui.perfetto.dev)")
    if as_json:
        Console(soft_wrap=True).print_json(json.dumps(result))


def _measured(
    settings: SessionSettings,
    console: Console,
    out: Path,
    capacity_s: float,
    chosen: dict[str, Budget] | Budget | None,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="unvisor-spans-") as folder, Sensors() as sensors:
        recorder = SessionRecorder(sensors)
        traced = override(settings, {"edge.spans": folder})
        profile = Path(settings.edge.profile)
        passphrase = passphrase_for(profile)  # asked for before anything starts
        load_profile(profile, passphrase)  # and a wrong profile told
        reports = measure(
            traced, console, probe=recorder, capacity_s=capacity_s, passphrase=passphrase
        )
        spans = _spans(Path(folder))
    result = result_tree(timing_tree(*reports), recorder.recording, spans)
    held = choose_budget(chosen, result["machine"]) if isinstance(chosen, dict) else chosen
    result["budget"] = None if held is None else verdict_tree(held, judge(held, result))
    _write_pictures(out, result, recorder.recording, spans)
    return result


def _spans(folder: Path) -> dict[str, ProcessSpans]:
    found: dict[str, ProcessSpans] = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            found[path.stem] = load_spans(path)
        except (OSError, ValueError, KeyError) as error:  # a killed process leaves half a file
            log.warning("%s left no usable times: %s", path.stem, error)
    return found


def _write_pictures(
    out: Path, result: dict[str, Any], recording: Recording, spans: dict[str, ProcessSpans]
) -> None:
    try:
        write_trace(out / "profile.trace.json", trace_events(recording, spans.values()))
        write_chart(out / "profile.png", result, recording, spans)
    except OSError as error:
        raise _unwritable(out, error) from error


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _check_folder(folder: Path) -> None:
    """Make the results' folder; UserError, before anything is measured, if none can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"Nothing can be written to {folder}: {error.strerror}.",
        "Choose another folder with `--out`.",
    )


def _named_budget(name: str, path: Path) -> dict[str, Budget] | Budget | None:
    """All budgets to choose from once the machine is known, the named one, or none."""
    if name == "none":
        return None
    budgets = load_budgets(path)
    if name == "auto":
        return budgets
    if name not in budgets:
        raise UserError(
            f"There is no budget {name!r} in {path}.", f"Known: {', '.join(budgets)}, auto, none."
        )
    return budgets[name]


def _layers(settings: SessionSettings, console: Console) -> dict[str, Any]:
    models = settings.models
    network = Path(models.weights or session_network(models.precision, models.engine))
    tracker = shipped_network(models.precision, original=SHIPPED_HEADSET_NET)
    found: dict[str, Any] = {}
    for name, path in (("network", network), ("tracker", tracker)):
        timed = layer_times(path, models.threads)
        print_layers(console, name, timed)
        found[name] = [vars(layer) for layer in timed]
    return found


def _compare(
    console: Console, before: Path, after: Path, allowed: float | None, as_json: bool
) -> None:
    old, new = load_result(before), load_result(after)
    for difference in differences(old, new):
        console.print(f"[yellow]not the same[/yellow]: {difference}")
    changes = compare(old, new)
    failed = [] if allowed is None else failures(changes, allowed)
    print_changes(console, changes, failed)
    if as_json:
        tree = {c.key: {"before": c.before, "after": c.after, "ratio": c.slowdown} for c in changes}
        Console(soft_wrap=True).print_json(json.dumps(tree))
    if failed:
        raise UserError(
            f"Slower by more than {allowed:.0%}: {', '.join(c.key for c in failed)}.",
            "Measure again on a quiet machine before blaming the change.",
        )
