"""The command table of `unvisor`: which function runs each command. Imports only what is asked for.

Every folder owns its commands; this is the one file that knows them all.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from edge.command_line import ended_at_once_by_ctrl_c, let_help_flow, show_short_paths
from edge.terminal_log import show_log
from streaming.errors import UserError

CHECKOUT = Path(__file__).parents[1]
COMMANDS = {
    "demo": ("edge.demo:demo", "Watch a face being restored live, on a demo clip or a webcam."),
    "run": ("edge.run:run", "Run the product: camera and eye cameras in, restored face out."),
    "watch": ("streaming.watch:watch", "Subscribe to a running session and show what arrives."),
    "record": (
        "streaming.recordings.record_command:record",
        "Keep what a session sends, with its times, in a file.",
    ),
    "replay": (
        "streaming.recordings.replay_command:replay",
        "Feed a recording back as if it were live.",
    ),
    "bridge": (
        "streaming.bridge.server:bridge",
        "Forward the stream to web pages on this machine.",
    ),
    "keys": (
        "streaming.security.keys_command:keys",
        "Say which other machines may receive: new, list, …",
    ),
    "relay": ("streaming.relay.command:relay", "Bring an encrypted stream to clients here."),
    "bench-stream": (
        "streaming.bench.command:bench_stream",
        "Measure the delay that streaming adds on this machine.",
    ),
    "bench-eyes": (
        "hmd_capture.bench:bench_eyes",
        "Measure what reading the eye cameras costs on this machine.",
    ),
    "bench-engines": (
        "edge.engine_bench.command:bench_engines",
        "Time the networks in onnxruntime and OpenVINO on this machine.",
    ),
    "profile": (
        "edge.profiler.command:profile",
        "Measure where each millisecond goes, against a budget.",
    ),
    "marker": ("edge.marker.sheet:marker", "Print a sticker that makes the headset's pose exact."),
    "devices": ("edge.devices:devices", "List cameras with stable ids and thumbnails."),
    "doctor": ("edge.doctor:doctor", "Check this machine and say what is missing."),
    "calibrate-reference": (
        "calibration.reference:calibrate_reference",
        "Make the wearer's profile, before the headset goes on.",
    ),
    "calibrate-eyes": (
        "calibration.eyes:calibrate_eyes",
        "Learn how the wearer's eyes look to the eye cameras.",
    ),
    "calibrate-camera": (
        "calibration.camera.command:calibrate_camera",
        "Measure a camera's lens with a printed board.",
    ),
    "profiles": (
        "calibration.profiles.command:profiles",
        "Profiles on this machine: list, show, delete, encrypt, export, import.",
    ),
    "build-engine": (
        "calibration.build_engine:build_engine",
        "Build the network's TensorRT engine for this GPU.",
    ),
    "train": ("training.train:train", "Train an inpainting network by a recipe."),
    "pack-clips": (
        "training.shards.command:pack_clips_command",
        "Pack face clips into archives for a training machine.",
    ),
    "fit-registration": (
        "training.registration:fit_registration",
        "Learn how shift and tint go together over the face.",
    ),
    "fit-tracker": (
        "training.headset.mesh_errors:fit_tracker",
        "Learn how the tracker's mesh errs, given what is seen.",
    ),
    "fit-landmarks": (
        "training.landmarks:fit_landmarks",
        "Learn how a face's landmarks change from frame to frame.",
    ),
    "train-headset": ("training.headset.train:train_headset", "Train the headset tracker."),
    "check-int8": (
        "training.quantisation.long_check:check_int8",
        "Compare an INT8 network with its original over long runs.",
    ),
    "quantize-headset": (
        "training.quantisation.headset_command:quantize_headset",
        "Write the headset tracker's network as INT8.",
    ),
    "train-cover": (
        "training.face_covers.train:train_cover",
        "Train the network that notices hands, hair and glare over a face.",
    ),
    "train-outline": (
        "training.outlines.train:train_outline",
        "Train the network that draws the headset's outline.",
    ),
    "train-face-mask": (
        "training.face_masks.train:train_face_mask",
        "Train the network that finds face masks.",
    ),
    "train-eyes": (
        "training.eyes.train_command:train_eyes",
        "Train the network that reads eye cameras.",
    ),
    "train-identity": (
        "training.identity.train_identity:train_identity",
        "Train the network that compares persons.",
    ),
    "fit-identity": (
        "training.identity.fit_identity:fit_identity",
        "Fit how comparisons of persons count, and when they decide.",
    ),
    "import-videos": (
        "training.importing.command:import_videos_command",
        "Cut face clips for training and scoring out of a folder of videos.",
    ),
    "benchmarks": (
        "training.evaluation.benchmarks_command:benchmarks",
        "Score every method on every protocol; writes docs/BENCHMARKS.md.",
    ),
    "evaluate": (
        "training.evaluation.evaluate_command:evaluate",
        "Score fillers on face clips, or eyes.",
    ),
    "evaluate-face-mask": (
        "training.face_masks.evaluate:evaluate_face_mask",
        "Score the network that finds face masks, and its false alarms.",
    ),
    "evaluate-identity": (
        "training.identity.evaluate_identity:evaluate_identity",
        "Score the check of who is in view.",
    ),
    "evaluate-recordings": (
        "training.recordings.command:evaluate_recordings",
        "Restore one recording of a person from another, and score it.",
    ),
    "evaluate-tracker": (
        "training.evaluate_tracker:evaluate_tracker",
        "Score the headset tracker on photos, and its false alarms.",
    ),
    "edit": (
        "training.editing.command:edit",
        "Restore a clip under other landmarks; tell whose face it is.",
    ),
    "architectures": (
        "training.sizes.command:architectures",
        "Tell what every recipe's network holds and costs.",
    ),
    "quantize": (
        "training.quantisation.quantize_command:quantize",
        "Write a trained network as INT8.",
    ),
    "export": ("models.export:export", "Write a trained network as ONNX."),
}
# In the order in which one needs them; commands that no group names are listed with the last.
GROUPS = {
    "See it work": ["demo", "doctor", "devices"],
    "Use it": [
        *("calibrate-reference", "run", "calibrate-eyes", "profiles"),
        *("marker", "calibrate-camera", "build-engine"),
    ],
    "Receive it": ["watch", "record", "replay", "keys", "relay", "bridge"],
    "Measure it": ["profile", "bench-stream", "bench-eyes", "bench-engines"],
    "Train and score its networks": [
        *("import-videos", "pack-clips", "train", "evaluate", "benchmarks"),
        *("export", "quantize", "edit", "architectures"),
    ],
}
HELP = ("--help", "-h", "help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `unvisor COMMAND …`; exits with 0, 1 (after one sentence why) or 2 (wrong usage)."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in HELP:
        _show_commands()
        sys.exit(0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        errors = Console(stderr=True, highlight=False, markup=False)
        errors.print(f"There is no command {name!r}.{meant} `unvisor --help` lists all.")
        sys.exit(2)
    _run(name, f"unvisor {name}", rest)


def calibrate_reference() -> None:
    """Run the console command `calibrate-reference`, the same as `unvisor calibrate-reference`."""
    _run("calibrate-reference", "calibrate-reference", sys.argv[1:])


def _run(name: str, shown_as: str, arguments: Sequence[str]) -> None:
    try:
        command = command_of(name)
        show_short_paths(command, CHECKOUT)
        if COMMANDS[name][0].startswith("training."):
            show_log("training")
        command(args=list(arguments), prog_name=shown_as)
    except UserError as error:
        _end_with(str(error))
    except PermissionError as error:
        place = error.filename or "a file"
        _end_with(
            f"{place} may not be used: {error.strerror}. Change whose it is, or name another."
        )
    except OSError as error:
        if error.filename is None:  # no word of the user's: a fault of ours, which is to be seen
            raise
        _end_with(
            f"{error.filename} cannot be used: {error.strerror}. Correct it, or name another."
        )


def command_of(name: str) -> Any:
    """The command of a name in `COMMANDS`, with its options; raises UserError as it needs torch."""
    loaded = _load(name)
    command = typer.main.get_command(loaded if isinstance(loaded, typer.Typer) else _alone(loaded))
    let_help_flow(command)
    return command


def _end_with(sentence: str) -> NoReturn:
    Console(stderr=True, highlight=False, markup=False).print(sentence, soft_wrap=True)
    sys.exit(1)


def _alone(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    return app


def _load(name: str):  # type: ignore[no-untyped-def]  # typer reads the function's own annotations
    module, _, function = COMMANDS[name][0].partition(":")
    try:
        with ended_at_once_by_ctrl_c():
            return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise UserError(
                f"`unvisor {name}` needs torch, which is not installed.",
                "Install it with `make install` in the checkout.",
            ) from error
        raise


def _show_commands() -> None:
    console = Console(highlight=False)
    console.print("unvisor takes the VR headset off a person's face, live.")
    console.print(
        "[dim]Start with `unvisor demo`; then take your profile, and `unvisor run`.[/dim]"
    )
    width = max(map(len, COMMANDS))
    for title, names in grouped_commands().items():
        console.print(f"\n[bold]{title}[/bold]")
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(min_width=width)
        for name in names:
            table.add_row(name, COMMANDS[name][1])
        console.print(table)
    console.print("\n`unvisor COMMAND --help` tells more about each.")


def grouped_commands() -> dict[str, list[str]]:
    """Names of all commands by group, each once."""
    groups = {title: list(names) for title, names in GROUPS.items()}
    named = {name for names in groups.values() for name in names}
    groups[list(groups)[-1]] += [name for name in COMMANDS if name not in named]
    return groups


if __name__ == "__main__":
    main()
