"""`unvisor quantize`: the network as INT8, with ranges of the train split, judged on val."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from models.quantisation.online import Float32Array, OnlineNetwork, range_feeds
from models.quantisation.quantise import TARGETS, Target, quantise
from models.shipped import (
    MANIFEST_SCHEMA,
    SHIPPED_NETWORK,
    Network,
    load_network,
    manifest_path,
    sha256,
)
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips
from training.clips.licences import LicenceClass, licensed
from training.feeding.streams import DecodedClip, StreamMaker, StreamSettings
from training.protocol import HMD, eligible
from training.quantisation.acceptance import accepted_as, default_place
from training.quantisation.parity import Parity, check_drift, check_parity

RANGE_CLIPS, RANGE_STREAMS, VAL_CLIPS = 24, 16, 12
KEPT_FRAMES = frozenset({0, 1, 3, 8, 16, 24, 31})  # cold states, warming ones, warm ones
LARGEST_DROP_DB = 0.3
SEED = 0
# What says how a network is used holds for its INT8 form too.
KEPT_KEYS = ("architecture", "contract", "inputs", "licence_classes")
log = logging.getLogger(__name__)


def quantize(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    weights: Annotated[Path, typer.Option(help="The network, .onnx.")] = SHIPPED_NETWORK,
    out: Annotated[
        Path | None, typer.Option(help="Where the INT8 network goes, .onnx; beside the network.")
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            help="cpu: integer operators, the quickest in onnxruntime. pairs: Q/DQ pairs, for any "
            "runtime. tensorrt: Q/DQ pairs as its parser takes them."
        ),
    ] = "cpu",
    loop_frames: Annotated[
        int, typer.Option(min=0, help="Frames of a looped clip for the drift; 0 = not checked.")
    ] = 3000,
    licence_class: LicenceClass = None,
) -> None:
    """Write the network as INT8 and say what that costs in quality."""
    console = Console(stderr=True, highlight=False)
    chosen_target = _known(target)
    try:
        network = load_network(weights)
    except WeightsError as error:
        raise UserError(str(error)) from error
    clips = FaceClips(data)
    classes = tuple(licence_class or ())
    rows = _some(licensed(clips.rows("train"), classes), RANGE_CLIPS)
    chosen = _some(eligible(licensed(clips.rows("val"), classes), HMD)[0], VAL_CLIPS)
    console.print(f"ranges from {len(rows)} clips of the train split, run online …")
    feeds = range_feeds(OnlineNetwork(weights), _range_clips(clips, rows, network), KEPT_FRAMES)
    ranges = {
        "clips": [row.segment for row in rows],
        "frames": len(feeds),
        "split": "train",
        "licence_classes": list(classes),
    }
    with accepted_as(out or default_place(weights, chosen_target)) as made:
        quantise(weights, made, feeds, chosen_target)
        console.print("comparing with the original on the val split …")
        parity = check_parity(weights, made, clips, chosen, network.size_px)
        drift = check_drift(weights, made, clips, chosen[0], network.size_px, loop_frames)
        _write_manifest(network, made, target, ranges, parity, drift)
        _tell(console, parity, drift)


def _known(target: str) -> Target:
    for known in TARGETS:
        if target == known:
            return known
    raise UserError(f"There is no target {target!r}.", f"Use {' or '.join(TARGETS)}.")


def _some(rows: list[FaceClip], count: int) -> list[FaceClip]:
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [rows[index] for index in order[:count]]


def _range_clips(
    clips: FaceClips, rows: list[FaceClip], network: Network
) -> Iterator[Iterator[Float32Array]]:
    """Training's own streams, as `network` is shown them: references near and far, tinted.

    Raises:
        UserError: no clip is as long as a stream.
    """
    size_px = network.size_px
    decoded = [DecodedClip(clips.frames(row, size_px), clips.meshes(row, size_px)) for row in rows]
    try:
        maker = StreamMaker(decoded, StreamSettings(network.inputs), SEED)
    except ValueError as error:
        raise UserError(f"Ranges cannot be measured: {error}.") from error
    for number in range(RANGE_STREAMS):
        frames = maker.make(number).inputs()
        yield (np.ascontiguousarray(frame[None], np.float32) for frame in frames)


def _write_manifest(
    network: Network,
    out: Path,
    target: str,
    ranges: dict[str, Any],
    parity: Parity,
    drift: dict[str, float],
) -> None:
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "sha256": sha256(out),
        "settings": network.manifest["settings"],
        **{key: network.manifest[key] for key in KEPT_KEYS if key in network.manifest},
        "precision": "int8",
        "target": target,
        **_states_of(out),
        "from_sha256": network.manifest["sha256"],
        "data": network.manifest.get("data", ""),
        "ranges": {
            "split": ranges["split"],
            "licence_classes": ranges["licence_classes"],
            "clips": len(ranges["clips"]),
            "frames": ranges["frames"],
            "segments_sha256": hashlib.sha256("\n".join(ranges["clips"]).encode()).hexdigest(),
        },
        "parity": {"split": "val", **vars(parity)},
        "drift": drift,
    }
    manifest_path(out).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _states_of(out: Path) -> dict[str, str]:
    """How a file keeps its states, where not as the original does."""
    dtypes = {state.dtype.name for state in OnlineNetwork(out).states.values()}
    return {"state_dtype": "uint8", "state_layout": "rows"} if dtypes == {"uint8"} else {}


def _tell(console: Console, parity: Parity, drift: dict[str, float]) -> None:
    console.print(
        f"PSNR {parity.psnr_db:.3f} → {parity.int8_psnr_db:.3f} dB over {parity.frames} frames of "
        f"{parity.clips} clips (worst clip {parity.worst_drop_db:+.3f} dB lost); "
        f"pictures differ by {parity.agreement_db:.1f} dB PSNR"
    )
    if drift:
        console.print(
            f"looped clip: the two agree by {drift['first_db']:.1f} dB in the first 100 frames, "
            f"{drift['last_db']:.1f} dB in the last 100 of {drift['frames']:.0f}"
        )
    if not parity.psnr_db - parity.int8_psnr_db <= LARGEST_DROP_DB:
        raise UserError(
            f"INT8 loses more than {LARGEST_DROP_DB} dB; it was not kept.",
            "Keep the original network.",
        )
