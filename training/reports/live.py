"""What `unvisor evaluate --protocol live` reports: the restored faces' scores and the tracker's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from edge.settings import Outline
from hmd_capture.headset_style import STYLES
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips, ImageU8
from training.evaluation.evaluate import FillerMaker, spread
from training.live_protocol import FillerOf, LiveScores, WornClip, evaluate_live
from training.protocol import PUBLISHED_PX
from training.reports import scores as score_report
from training.scenes.headset_models import CUTOUTS, split_names

LIVE = "live"
TEST = "test"  # the split of headset models that every evaluation wears
Advance = Callable[[int, int], None]  # clips done, clips in all
STRIP_ROWS = 5
FEWEST_FRAMES = 2  # the first makes the profile


def live_document(
    clips: FaceClips,
    split: str,
    rows: Sequence[FaceClip],
    makers: Mapping[str, FillerMaker],
    headsets: Path | None,
    outline: Outline,
    size_px: int,
    distance: nn.Module | None,
    limit_clips: int | None,
    strips: Path | None,
    advance: Advance,
) -> dict[str, Any]:
    """Run the live protocol and lay its scores out as docs/INTERFACES.md says.

    `rows` are clips of `split`, `headsets` is a folder of cut-outs whose test models are worn in
    turn, or None for the built-in ones, `strips` a folder for one picture per clip, or None.

    Raises:
        UserError: the clips, the headsets or a network cannot be used.
    """
    models = _models(headsets)
    long_enough = [row for row in rows if row.frames >= FEWEST_FRAMES]
    if not long_enough:
        raise UserError(
            f"None of the {len(rows)} clips has the {FEWEST_FRAMES} frames that {LIVE} needs.",
            "Add longer clips.",
        )
    chosen = spread(long_enough, limit_clips)

    def show(index: int, total: int, clip: WornClip, restored: dict[str, ImageU8]) -> None:
        advance(index + 1, total)
        if strips is not None:
            _write_strip(strips, clip, restored)

    fillers = {name: _sized(make, size_px) for name, make in makers.items()}
    result = evaluate_live(
        clips,
        chosen,
        models,
        fillers,
        outline=outline,
        size_px=size_px,
        distance=distance,
        on_clip=show,
    )
    return {
        "protocol": LIVE,
        "split": split,
        "clips": len(chosen),
        "people": len({row.identity for row in chosen}),
        "too_short": [row.segment for row in rows if row.frames < FEWEST_FRAMES],
        "size_px": size_px,
        "landmarks": "tracker",
        "outline": outline,
        "headsets": [Path(model).name for model in models],
        "methods": {name: _method(name, scores) for name, scores in result.methods.items()},
        "tracker": {
            **result.tracker.summary(),
            "track_ms": _percentiles(next(iter(result.methods.values())).track_ms),
        },
        "eyes": result.eyes.summary(),
    }


def _method(name: str, scores: LiveScores) -> dict[str, Any]:
    return {
        "filler": name,
        **score_report.method_scores(scores.segments, scores.identities, scores.clips),
        "fill_ms": _percentiles(scores.track_ms),
    }


def _sized(make: FillerMaker, size_px: int) -> FillerOf:
    return lambda reference: make(reference, size_px)


def _models(headsets: Path | None) -> list[str]:
    if headsets is None:
        return list(STYLES)
    if not headsets.is_dir():
        raise UserError(f"There is no folder {headsets}.", "Leave out --headsets or correct it.")
    return [str(headsets / CUTOUTS / name) for name in split_names(headsets, TEST)]


def _percentiles(values: list[float]) -> dict[str, float]:
    return {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99))}


def _write_strip(folder: Path, clip: WornClip, restored: dict[str, ImageU8]) -> None:
    """SEGMENT.png: frames down; camera, each method and the truth across."""
    rows = []
    for index in np.linspace(0, len(clip.worn) - 1, STRIP_ROWS).round().astype(int):
        look = clip.worn[index]
        ends = [
            np.asarray(cv2.resize(image, (PUBLISHED_PX, PUBLISHED_PX)), np.uint8)
            for image in (look.camera, look.truth)
        ]
        rows.append(np.hstack([ends[0], *(f[index] for f in restored.values()), ends[1]]))
    score_report.write_picture(folder / f"{clip.segment}.png", np.vstack(rows))
