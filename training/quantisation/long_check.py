"""`unvisor check-int8`: an INT8 network against its original over clips played back and forth."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from torch import nn

from models.inpainting.inputs_choice import InputsChoice
from models.quantisation.online import OnlineNetwork
from models.shipped import SHIPPED_INT8, SHIPPED_NETWORK, load_network
from models.weights_error import WeightsError
from streaming.errors import UserError
from training import protocol
from training.clips.faces import FaceClip, FaceClips, ImageU8
from training.evaluation.metrics import lpips
from training.helper_weights import DEFAULT_FOLDER, lpips_alex
from training.protocol import HMD
from training.quantisation.parity import filled, prepared_frames, psnr


@dataclass(frozen=True)
class LongScores:
    """Means over clips; LPIPS of each clip's last pass, empty weights leave it nan."""

    clips: int
    frames_each: int
    psnr_db: float
    int8_psnr_db: float
    worst_drop_db: float
    agreement_db: float
    lpips: float
    int8_lpips: float


def long_scores(
    networks: tuple[Path, Path],
    clips: FaceClips,
    rows: Iterable[FaceClip],
    size_px: int,
    frames: int,
    distance: nn.Module | None,
) -> LongScores:
    """Run both networks over each clip, forth and back, for `frames` frames without a reset."""
    running = OnlineNetwork(networks[0]), OnlineNetwork(networks[1])
    shown = load_network(networks[0]).inputs
    scores = [
        _clip_scores(running, protocol.load(clips, row, HMD, size_px), shown, frames, distance)
        for row in rows
    ]
    table = np.array(scores)
    first, second, agreement, before, after = table.mean(0).tolist()
    worst = float((table[:, 0] - table[:, 1]).max())
    return LongScores(len(scores), frames, first, second, worst, agreement, before, after)


def check_int8(
    data: Annotated[Path, typer.Option(help="Folder of face clips (docs/DATA.md).")],
    weights: Annotated[Path, typer.Option(help="The original, .onnx.")] = SHIPPED_NETWORK,
    int8: Annotated[Path, typer.Option(help="Its INT8 form, .onnx.")] = SHIPPED_INT8,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip.")] = 300,
    people_once: Annotated[bool, typer.Option(help="One clip of each person.")] = False,
    helper_weights: Annotated[
        Path, typer.Option(help="Folder of the LPIPS network's weights.")
    ] = DEFAULT_FOLDER,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores.")] = None,
) -> None:
    """Compare PSNR and LPIPS of a network and its INT8 form, run online for long."""
    try:
        size_px = load_network(weights).size_px
        load_network(int8)
    except WeightsError as error:
        raise UserError(str(error)) from error
    clips = FaceClips(data)
    rows, _ = protocol.eligible(clips.rows(split), HMD)
    if people_once:
        rows = list({row.identity: row for row in reversed(rows)}.values())
    found = long_scores(
        (weights, int8),
        clips,
        track(rows, console=Console(stderr=True)),
        size_px,
        frames,
        lpips_alex(helper_weights),
    )
    Console(soft_wrap=True).print_json(json.dumps({"split": split, **asdict(found)}))
    if json_file is not None:
        json_file.write_text(json.dumps({"split": split, **asdict(found)}, indent=1) + "\n")


def _clip_scores(
    networks: tuple[OnlineNetwork, OnlineNetwork],
    scored: protocol.ScoredClip,
    inputs_choice: InputsChoice,
    frames: int,
    distance: nn.Module | None,
) -> tuple[float, float, float, float, float]:
    prepared = prepared_frames(scored, inputs_choice)
    order = [*range(len(prepared)), *range(len(prepared) - 2, 0, -1)]
    for network in networks:
        network.reset()
    rows, shown = [], []
    for index in range(frames):
        place = order[index % len(order)]
        inputs, crop, hidden = prepared[place]
        first, second = (filled(network, inputs, crop, hidden) for network in networks)
        truth = scored.truth[place]
        rows.append((psnr(first, truth), psnr(second, truth), psnr(first, second)))
        if index >= frames - len(prepared):
            shown.append((first, second, truth))
    means = np.mean(rows, axis=0).tolist()
    before, after = _distances(shown, distance)
    return means[0], means[1], means[2], before, after


def _distances(
    shown: list[tuple[ImageU8, ImageU8, ImageU8]], distance: nn.Module | None
) -> tuple[float, float]:
    if distance is None:
        return float("nan"), float("nan")
    first, second, truth = (np.stack(images) for images in zip(*shown, strict=True))
    return float(lpips(distance, first, truth).mean()), float(lpips(distance, second, truth).mean())
