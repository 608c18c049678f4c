"""The bank protocol: the profile from the first 3 s of a clip, the rest restored from it.

Every method runs twice on the same frames: from all the views that the product would keep, and
from the best frontal one alone (`NAME-frontal`). Outline and landmarks are given, as in `hmd`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import nn

from edge.reference_choice import best_views
from models.filling import Reference
from streaming.errors import UserError
from training.clips.faces import CLIP_PX, FaceClip, FaceClips, Float32Array, ImageU8
from training.evaluation.evaluate import Evaluation, FillerMaker, MethodScores, fill_clip, spread
from training.evaluation.metrics import score_frames
from training.masks.coverings import headset_mask
from training.protocol import PUBLISHED_PX, ScoredClip, read

BANK = "bank"
FRONTAL = "-frontal"  # suffix of the method that got one view
PROFILE_FRAMES = 75  # 3 s at 25 fps
SHORTEST_FRAMES = 150


@dataclass(frozen=True)
class BankClip:
    """One clip, whole, and the views of its beginning."""

    references: tuple[Reference, ...]  # of the clip's own resolution, best frontal first
    images: ImageU8  # (T,R,R,3) uint8 BGR, the frames after the profile's
    meshes: Float32Array  # (T,478,3) px of `images`


def long_enough(rows: Sequence[FaceClip]) -> tuple[list[FaceClip], list[FaceClip]]:
    """Split `rows` into those of at least 6 s and the others.

    Raises:
        UserError: if none is.
    """
    kept = [row for row in rows if row.frames >= SHORTEST_FRAMES]
    if not kept:
        raise UserError(
            f"None of the {len(rows)} clips has the {SHORTEST_FRAMES} frames that {BANK} needs.",
            "Add longer clips or use the protocol hmd.",
        )
    return kept, [row for row in rows if row.frames < SHORTEST_FRAMES]


def load(clips: FaceClips, row: FaceClip) -> BankClip:
    """Read one clip and choose its views among the first frames.

    Raises:
        FaceDataError: if the clip is damaged, or not what its manifest row says.
    """
    images, meshes = read(clips, row, CLIP_PX)
    views = best_views(list(images[:PROFILE_FRAMES]), meshes[:PROFILE_FRAMES])
    references = tuple(Reference(images[index], meshes[index]) for index in views)
    return BankClip(references, images[PROFILE_FRAMES:], meshes[PROFILE_FRAMES:])


def scored(clip: BankClip, row: FaceClip, size_px: int) -> ScoredClip:
    """The clip as every protocol scores it, on crops of `size_px`."""
    scale = np.float32(size_px / clip.images.shape[1])
    truth = np.stack([_sized(image, size_px) for image in clip.images])
    meshes = clip.meshes * scale
    frontal = clip.references[0].resized(size_px)
    return ScoredClip(
        segment=row.segment,
        identity=row.identity,
        reference_image=frontal.image,
        reference_mesh=frontal.mesh,
        truth=truth,
        meshes=meshes,
        hidden=np.stack([headset_mask(mesh, size_px) for mesh in meshes]),
    )


def evaluate_bank(
    clips: FaceClips,
    rows: Sequence[FaceClip],
    makers: Mapping[str, FillerMaker],
    *,
    split: str = "test",
    size_px: int = PUBLISHED_PX,
    distance: nn.Module | None = None,
    limit_clips: int | None = None,
    on_clip: Callable[[int, int, ScoredClip, Mapping[str, ImageU8]], None] | None = None,
    on_views: Callable[[BankClip], None] | None = None,
) -> Evaluation:
    """Run every maker's filler over those of `rows`, clips of `split`, that are long enough.

    See `evaluate.evaluate_fillers`.

    `on_views` hears of each clip with its views, for whatever else is measured on them.
    """
    kept, short = long_enough(rows)
    chosen = spread(kept, limit_clips)
    methods = {name + end: MethodScores() for name in makers for end in ("", FRONTAL)}
    for index, row in enumerate(chosen):
        clip = load(clips, row)
        frames = scored(clip, row, size_px)
        shown = {}
        for name, maker in makers.items():
            for end, views in (("", clip.references), (FRONTAL, clip.references[:1])):
                scores = methods[name + end]
                shown[name + end] = fill_clip(maker(views, size_px), frames, scores)
                scores.identities.append(row.identity)
                scores.segments.append(row.segment)
                scores.clips.append(
                    score_frames(shown[name + end], frames.truth, frames.hidden, distance)
                )
        if on_views is not None:
            on_views(clip)
        if on_clip is not None:
            on_clip(index, len(chosen), frames, shown)
    return Evaluation(BANK, split, size_px, [row.segment for row in short], methods)


def _sized(image: ImageU8, size_px: int) -> ImageU8:
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)
