"""What `unvisor evaluate --protocol bank` reports: several views against one, and their detail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from models.filling import WarpRegisterFiller
from training.bank_protocol import PROFILE_FRAMES, BankClip, evaluate_bank
from training.clips.faces import CLIP_PX, FaceClip, FaceClips, ImageU8
from training.detail.scores import WAYS, WayScores, clip_shots, score_detail, summary
from training.evaluation.evaluate import FillerMaker, makers_of, report
from training.protocol import ScoredClip

# A half of the clips' resolution, and a quarter: as 128 px in a face of 512 px.
DETAIL_SIZES_PX = (CLIP_PX // 2, CLIP_PX // 4)


def bank_document(
    clips: FaceClips,
    split: str,
    rows: Sequence[FaceClip],
    makers: Mapping[str, FillerMaker],
    size_px: int,
    distance: nn.Module | None,
    limit_clips: int | None,
    on_clip: Callable[[int, int, ScoredClip, Mapping[str, ImageU8]], None],
) -> dict[str, Any]:
    """Run the bank protocol on clips of `split` and lay its scores out as docs/INTERFACES.md says.

    Raises:
        UserError: the clips or a network cannot be used.
    """
    name = WarpRegisterFiller.name  # works at any size
    make = makers_of([name])[name]
    details = {size: {way: WayScores() for way in WAYS} for size in DETAIL_SIZES_PX}
    views: list[int] = []

    def measure(clip: BankClip) -> None:
        views.append(len(clip.references))
        for size, scores in details.items():
            filler = make(clip.references, size)
            score_detail(clip_shots(clip, filler), size, distance, scores)

    evaluation = evaluate_bank(
        clips,
        rows,
        makers,
        split=split,
        size_px=size_px,
        distance=distance,
        limit_clips=limit_clips,
        on_clip=on_clip,
        on_views=measure,
    )
    return report(evaluation) | {
        "profile_frames": PROFILE_FRAMES,
        "views": views,
        "detail": {
            "frame_px": CLIP_PX,
            "filler": name,
            "fill_px": {str(size): summary(found) for size, found in details.items()},
        },
    }
