"""Scores of fillers on the headset protocols, all on the same frames and masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import nn

from models.filling import FILLERS, Filler, Reference, make_filler
from models.weights_error import WeightsError
from streaming.errors import UserError
from training import protocol as protocols
from training.clips.faces import FaceClips, ImageU8
from training.evaluation import plan
from training.evaluation.metrics import FrameScores, psnr, score_frames
from training.evaluation.networks import TrainedNetwork, WholeClipFiller
from training.protocol import ScoredClip
from training.reports import scores as score_report

Item = TypeVar("Item")


class FillerMaker(Protocol):
    """Makes a filler for one or several views; `size_px` is the side of its crop."""

    def __call__(self, reference: Reference | Sequence[Reference], size_px: int) -> Filler:
        """Make one."""
        ...


METHODS = FILLERS


@dataclass
class MethodScores:
    """What one method scored, clip by clip."""

    filler: str = ""  # the name of the filler that ran
    identities: list[str] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    clips: list[FrameScores] = field(default_factory=list)
    fill_ms: list[float] = field(default_factory=list)  # of every frame, wall clock
    told_psnr_db: list[float] = field(default_factory=list)  # clip by clip, of true landmarks


@dataclass
class Evaluation:
    """Everything a report needs."""

    protocol: str
    split: str
    size_px: int
    too_short: list[str]
    methods: dict[str, MethodScores]


def evaluate_fillers(
    clips: FaceClips,
    makers: Mapping[str, FillerMaker],
    *,
    protocol: str = "hmd",
    split: str = "test",
    size_px: int = protocols.PUBLISHED_PX,
    distance: nn.Module | None = None,
    limit_clips: int | None = None,
    licence_classes: tuple[str, ...] = (),
    on_clip: Callable[[int, int, ScoredClip, Mapping[str, ImageU8]], None] | None = None,
) -> Evaluation:
    """Run every maker's filler over the protocol's clips and score what it fills in.

    A maker is called once per clip with the clip's reference and the crop's side in px.
    `distance` is an LPIPS module, or None to leave LPIPS out; `licence_classes` keeps clips of
    these classes only. `on_clip` hears, after each clip: its index, the number of clips, the clip
    and the filled frames (N,S,S,3) by method.

    Raises:
        UserError: if the clips cannot be used for the protocol.
        ValueError: if a filler changes pixels that are not hidden.
    """
    kept, short = plan.takes(clips, split, protocol, licence_classes)
    chosen = spread(kept, limit_clips)
    evaluation = Evaluation(
        protocol,
        split,
        size_px,
        [row.segment for row in short],
        {m: MethodScores() for m in makers},
    )
    for index, take in enumerate(chosen):
        clip = take.load(clips, size_px)
        filled = {
            name: _scored(maker, clip, size_px, evaluation.methods[name], distance)
            for name, maker in makers.items()
        }
        if on_clip is not None:
            on_clip(index, len(chosen), clip, filled)
    return evaluation


def _scored(
    maker: FillerMaker,
    clip: ScoredClip,
    size_px: int,
    scores: MethodScores,
    distance: nn.Module | None,
) -> ImageU8:
    """Fill one clip with one method and note its scores; returns the filled frames."""
    reference = Reference(clip.reference_image, clip.reference_mesh)
    filled = fill_clip(maker(reference, size_px), clip, scores)
    counted = clip.scored
    scores.identities.append(clip.identity)
    scores.segments.append(clip.segment)
    scores.clips.append(
        score_frames(filled[counted], clip.truth[counted], clip.hidden[counted], distance)
    )
    if clip.noisy_meshes is not None:
        told = replace(clip, noisy_meshes=None)
        shown = fill_clip(maker(reference, size_px), told, MethodScores())
        scores.told_psnr_db.append(float(psnr(shown[counted], clip.truth[counted]).mean()))
    return filled


def fill_clip(filler: Filler, clip: ScoredClip, scores: MethodScores) -> ImageU8:
    """Fill a clip frame by frame from a reset; notes times and the filler's name in `scores`.

    Returns (N,S,S,3) uint8 BGR. The filler sees hidden pixels as 0.
    """
    filler.reset()
    scores.filler = filler.name
    crops = np.where(clip.hidden[..., None] != 0, np.uint8(0), clip.truth)
    if isinstance(filler, WholeClipFiller):
        started_ns = time.perf_counter_ns()
        filled = filler.fill_clip(crops, clip.hidden, clip.given)
        each_ms = (time.perf_counter_ns() - started_ns) / 1e6 / len(crops)
        scores.fill_ms += [each_ms] * len(crops)
    else:
        filled = np.empty_like(clip.truth)
        for index, frame in enumerate(zip(crops, clip.hidden, clip.given, strict=True)):
            started_ns = time.perf_counter_ns()
            filled[index] = filler.fill(*frame)
            scores.fill_ms.append((time.perf_counter_ns() - started_ns) / 1e6)
    if np.any((filled != clip.truth) & (clip.hidden[..., None] == 0)):
        raise ValueError(f"filler '{filler.name}' changed known pixels of clip {clip.segment}")
    return filled


def makers_of(
    names: Sequence[str],
    threads: int = 1,
    weights: Path | None = None,
    networks: Mapping[str, TrainedNetwork] | None = None,
) -> dict[str, FillerMaker]:
    """Makers of the fillers called `names`, among which may be those of `networks`.

    `weights` replaces the network of `unvisor`.

    Raises:
        UserError: if a name is unknown.
    """
    trained = dict(networks or {})
    for name in names:
        if name not in METHODS and name not in trained:
            raise UserError(
                f"There is no method '{name}'.",
                f"Use one of {', '.join(METHODS)}, or bring one with --weights {name}=FILE.onnx.",
            )

    def maker(name: str) -> FillerMaker:
        chosen = weights if name == "unvisor" else None

        def make(reference: Reference | Sequence[Reference], size_px: int) -> Filler:
            try:
                return make_filler(
                    name, reference, size_px=size_px, threads=threads, weights=chosen
                )
            except WeightsError as error:  # another size than the network's
                reason = str(error).rstrip(".")
                raise UserError(f"'{name}' cannot run at {size_px} px: {reason}.") from error

        return make

    return {name: trained.get(name) or maker(name) for name in names}


def report(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as `docs/INTERFACES.md` lays its JSON out."""
    methods = evaluation.methods
    return {
        "protocol": evaluation.protocol,
        "split": evaluation.split,
        "clips": max((len(scores.clips) for scores in methods.values()), default=0),
        "frames": max((sum(len(c.mse) for c in m.clips) for m in methods.values()), default=0),
        "people": len({who for scores in methods.values() for who in scores.identities}),
        "too_short": evaluation.too_short,
        "size_px": evaluation.size_px,
        "landmarks": protocols.GIVEN_LANDMARKS.get(evaluation.protocol, "oracle"),
        "methods": {
            name: {
                "filler": scores.filler,
                **score_report.method_scores(scores.segments, scores.identities, scores.clips),
                "fill_ms": {
                    "p50": float(np.percentile(scores.fill_ms, 50)),
                    "p99": float(np.percentile(scores.fill_ms, 99)),
                },
                **_loss(scores),
            }
            for name, scores in methods.items()
        },
    }


def _loss(scores: MethodScores) -> dict[str, float]:
    """What landmarks that err cost, in dB, where they did."""
    if not scores.told_psnr_db:
        return {}
    told = float(np.mean(scores.told_psnr_db))
    erring = float(np.mean([clip.psnr_db.mean() for clip in scores.clips]))
    return {"told_psnr_db": told, "loss_db": told - erring}


def spread(rows: list[Item], limit: int | None) -> list[Item]:
    """At most `limit` of `rows`, spread over all of them."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[index] for index in np.linspace(0, len(rows) - 1, limit).round().astype(int)]
