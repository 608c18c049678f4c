"""One protocol from a request to a report: what `unvisor evaluate` and `benchmarks` share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from torch import nn

from streaming.errors import UserError
from training.clips.faces import FaceClips, ImageU8
from training.evaluation.evaluate import METHODS, evaluate_fillers, makers_of, report
from training.evaluation.eyes_seen import EyeFinder
from training.evaluation.full_scores import FullScores, load_networks, merge
from training.evaluation.networks import TrainedNetwork
from training.evaluation.worst import circumstances, worst_clips
from training.helper_weights import DEFAULT_FOLDER, lpips_alex
from training.protocol import PUBLISHED_PX, ScoredClip
from training.reports import scores as score_report

Advance = Callable[[int, int], None]


class Measures(str, Enum):
    """How much is measured."""

    IMAGES = "images"  # what frames tell: PSNR, SSIM, MSE, LPIPS
    FRAMES = "frames"  # L1, MS-SSIM, warping error, features of frames too
    FACES = "faces"  # and identity, expression, blinks
    ALL = "all"  # and the video-FID


@dataclass(frozen=True)
class Request:
    """What is to be scored, and how."""

    data: Path
    protocol: str
    split: str = "test"
    methods: tuple[str, ...] = METHODS
    networks: Mapping[str, TrainedNetwork] | None = None  # by method; those of --weights
    unvisor: Path | None = None  # replaces the network of `unvisor`
    size_px: int = PUBLISHED_PX
    threads: int = 1
    measures: Measures = Measures.IMAGES
    helper_weights: Path = DEFAULT_FOLDER
    lpips: bool = True
    limit_clips: int | None = None
    licence_classes: tuple[str, ...] = ()
    strips: Path | None = None


def score(request: Request, advance: Advance) -> dict[str, Any]:
    """Run the request; `advance` hears how many clips are done, and of how many.

    Returns:
        The report of docs/INTERFACES.md.

    Raises:
        UserError: clips, networks or methods cannot be used.
    """
    clips = FaceClips(request.data)
    makers = makers_of(request.methods, request.threads, request.unvisor, request.networks)
    distance = lpips_alex(request.helper_weights) if request.lpips else None
    told: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        full = _full_scores(request, distance, stack)

        def on_clip(
            index: int, total: int, clip: ScoredClip, filled: Mapping[str, ImageU8]
        ) -> None:
            if full is not None:
                full.add(clip, filled)
            told[clip.segment] = circumstances(clip)
            if request.strips is not None:
                score_report.write_strip(request.strips, clip, filled)
            advance(index + 1, total)

        evaluation = evaluate_fillers(
            clips,
            makers,
            protocol=request.protocol,
            split=request.split,
            size_px=request.size_px,
            distance=distance,
            limit_clips=request.limit_clips,
            licence_classes=request.licence_classes,
            on_clip=on_clip,
        )
    document = report(evaluation)
    if full is not None:
        document = merge(document, full.document(), full.video_clips)
    document |= {"measures": request.measures.value, **asked(request)}
    document["worst_clips"] = worst_clips(document, told)
    for name, network in (request.networks or {}).items():
        document["methods"][name]["weights"] = network.testimony.as_json()
    _show_worst(request.strips, document["worst_clips"])
    return document


def _full_scores(
    request: Request, distance: nn.Module | None, stack: ExitStack
) -> FullScores | None:
    """What measures more than frames tell; None where that is not asked. `stack` closes it."""
    if request.measures is Measures.IMAGES:
        return None
    video, faces = request.measures is Measures.ALL, request.measures is not Measures.FRAMES
    looked_through = load_networks(request.helper_weights, distance, video=video, faces=faces)
    finder = stack.enter_context(EyeFinder()) if faces else None
    return FullScores(looked_through, finder, request.protocol)


def networks_of(given: list[str], threads: int) -> tuple[dict[str, TrainedNetwork], Path | None]:
    """The networks of `--weights` options, and the file that replaces `unvisor`'s, if any.

    Each is NAME=PATH; a path alone replaces the network of `unvisor` (or of the eyes).

    Raises:
        UserError: a name is given twice or is that of a filler, or a network cannot be read.
    """
    networks: dict[str, TrainedNetwork] = {}
    alone: Path | None = None
    for each in given:
        name, separator, path = each.partition("=")
        if not separator:
            alone = Path(each)
        elif name in networks or name in METHODS:
            raise UserError(
                f"'{name}' already names a method.", "Give each of the --weights its own name."
            )
        else:
            networks[name] = TrainedNetwork(name, Path(path), threads)
    return networks, alone


def asked(request: Request) -> dict[str, Any]:
    """What of the request a reader must know to compare reports."""
    return {
        "limit_clips": request.limit_clips,
        "licence_classes": list(request.licence_classes),
    }


def _show_worst(strips: Path | None, worst: Mapping[str, list[dict[str, Any]]]) -> None:
    """Copy the strips of each method's worst clips to a folder of their own."""
    if strips is None:
        return
    for method, clips in worst.items():
        folder = strips / "worst" / method
        folder.mkdir(parents=True, exist_ok=True)
        for rank, clip in enumerate(clips, 1):
            shutil.copyfile(
                strips / f"{clip['segment']}.png", folder / f"{rank}_{clip['segment']}.png"
            )
