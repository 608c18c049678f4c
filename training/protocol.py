"""The headset protocols: which frames of a clip are scored, from which reference, under which mask.

`hmd` refers to the clip's first frame and scores the next 32. `hmd-far` scores the same 32 from a
later frame, the one whose head turn differs most from theirs. The published values are at 128 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.errors import UserError
from training.coverings import headset_mask
from training.faces import FaceClip, FaceClips, FaceDataError, Float32Array, ImageU8

PROTOCOLS = ("hmd", "hmd-far")
PUBLISHED_PX = 128
SCORED_FRAMES = 32  # frames 1..32; frame 0 is never scored
SHORTEST_FAR_FRAMES = 75  # a shorter clip has no frame far enough from the scored ones


@dataclass(frozen=True)
class ScoredClip:
    """What every method gets of one clip (reference, meshes, masks), and the truth."""

    segment: str
    identity: str
    reference_image: ImageU8  # (S,S,3) uint8 BGR
    reference_mesh: Float32Array  # (478,3) px
    truth: ImageU8  # (N,S,S,3) uint8 BGR
    meshes: Float32Array  # (N,478,3) px: true landmarks, an oracle
    hidden: NDArray[np.uint8]  # (N,S,S) 1 = hidden


def eligible(rows: list[FaceClip], protocol: str) -> tuple[list[FaceClip], list[FaceClip]]:
    """Split `rows` into those long enough for the protocol and those that are not.

    Raises:
        UserError: if there is no such protocol, or none of the clips is long enough.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol '{protocol}'.", f"Use {' or '.join(PROTOCOLS)}.")
    shortest = SHORTEST_FAR_FRAMES if protocol == "hmd-far" else 2
    kept = [row for row in rows if row.frames >= shortest]
    if not kept:
        raise UserError(
            f"None of the {len(rows)} clips has the {shortest} frames that {protocol} needs.",
            "Add longer clips or use the protocol hmd.",
        )
    return kept, [row for row in rows if row.frames < shortest]


def load(clips: FaceClips, row: FaceClip, protocol: str, size_px: int = PUBLISHED_PX) -> ScoredClip:
    """Read one clip as the protocol scores it, on crops of `size_px`.

    Raises:
        FaceDataError: if the clip is damaged, or its video, meshes and manifest row disagree.
    """
    images, meshes = clips.frames(row, size_px), clips.meshes(row, size_px)
    if not len(images) == len(meshes) == row.frames:
        raise FaceDataError(
            f"Clip {row.segment} has {len(images)} images and {len(meshes)} meshes where the "
            f"manifest says {row.frames}; copy the clip again."
        )
    scored = slice(1, 1 + SCORED_FRAMES)
    reference_index = _far_index(clips.yaw(row)) if protocol == "hmd-far" else 0
    return ScoredClip(
        segment=row.segment,
        identity=row.identity,
        reference_image=images[reference_index],
        reference_mesh=meshes[reference_index],
        truth=images[scored],
        meshes=meshes[scored],
        hidden=np.stack([headset_mask(mesh, size_px) for mesh in meshes[scored]]),
    )


def _far_index(yaw: Float32Array) -> int:
    """Index of the frame after the scored ones whose yaw is farthest from their mean."""
    after = 1 + SCORED_FRAMES
    return after + int(np.abs(yaw[after:] - yaw[1:after].mean()).argmax())
