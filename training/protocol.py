"""The protocols with a given outline: which frames are scored, from which reference, which holes.

`hmd` refers to the clip's first frame and scores the next 32. `hmd-far` scores the same 32 from a
later frame, the one whose head turn differs most from theirs. `static-box`, `moving-box` and
`free-form` have the frames of `hmd` under other holes, fixed by the clip's place in its split.
`face-mask` has holes of face masks and scarves; in `face-mask-unseen` the landmarks behind them are
the reference's, laid over what is seen, as in a session: there nobody knows what the mouth does.
`perturbed` is `hmd` with landmarks that err where they are hidden, `relit` is `hmd` with all frames
but the reference in another light, dim, warm or from a side, clip by clip in turns. The published
values are at 128 px. Harder choices of frames are in `training.evaluation.hard_cases`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.visibility import is_visible
from models.face.mesh import LEFT_SIDE, RIGHT_SIDE
from models.lower_face import LowerFace
from streaming.errors import UserError
from training.clips.faces import FaceClip, FaceClips, FaceDataError, Float32Array, ImageU8
from training.masks import MASKS, MaskSource
from training.masks.headset import PROTOCOL_HEADSET
from training.relighting import LIGHTS, relit

HMD, FAR, PERTURBED, RELIT = "hmd", "hmd-far", "perturbed", "relit"
BOXES = ("static-box", "moving-box", "free-form")  # kinds of `training.masks`
FACE_MASK, UNSEEN_MOUTH = "face-mask", "face-mask-unseen"
PROTOCOLS = (HMD, FAR, *BOXES, FACE_MASK, UNSEEN_MOUTH, PERTURBED, RELIT)
# What a report says of the landmarks where they are not simply true ones.
GIVEN_LANDMARKS = {PERTURBED: "erring where hidden", UNSEEN_MOUTH: "the reference's where hidden"}
PUBLISHED_PX = 128
SCORED_FRAMES = 32  # frames 1..32; frame 0 is never scored
SHORTEST_FRAMES = 3  # the reference and two scored ones: what changes from frame to frame counts
SHORTEST_FAR_FRAMES = 75  # a shorter clip has no frame far enough from the scored ones
LANDMARK_NOISE = 0.02  # standard deviation of `perturbed`, of the face's width
MASK_SEED, NOISE_SEED = 20, 21  # with the clip's place: every run draws the same


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
    noisy_meshes: Float32Array | None = None  # what methods get instead of `meshes`
    counted: NDArray[np.bool_] | None = None  # (N,) frames that are scored; None = all

    @property
    def given(self) -> Float32Array:
        """(N,478,3) px: the landmarks that methods get."""
        return self.meshes if self.noisy_meshes is None else self.noisy_meshes

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(N,) whether a frame counts; the others only lead up to those that do."""
        return np.ones(len(self.truth), np.bool_) if self.counted is None else self.counted


def eligible(rows: list[FaceClip], protocol: str) -> tuple[list[FaceClip], list[FaceClip]]:
    """Split `rows` into those long enough for the protocol and those that are not.

    Raises:
        UserError: if there is no such protocol, or none of the clips is long enough.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"There is no protocol '{protocol}'.", f"Use {' or '.join(PROTOCOLS)}.")
    shortest = SHORTEST_FAR_FRAMES if protocol == FAR else SHORTEST_FRAMES
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
    images, meshes = read(clips, row, size_px)
    scored = slice(1, 1 + SCORED_FRAMES)
    reference_index = _far_index(clips.yaw(row)) if protocol == FAR else 0
    place = clips.rows(row.split).index(row)
    hidden = holes(meshes[scored], size_px, protocol, place)
    truth = images[scored]
    if protocol == RELIT:
        truth = relit(truth, LIGHTS[place % len(LIGHTS)])
    noisy = None
    if protocol == PERTURBED:
        noisy = with_noise(meshes[scored], hidden, place)
    elif protocol == UNSEEN_MOUTH:
        noisy = with_own_lower_face(meshes[scored], hidden, meshes[reference_index])
    return ScoredClip(
        segment=row.segment,
        identity=row.identity,
        reference_image=images[reference_index],
        reference_mesh=meshes[reference_index],
        truth=truth,
        meshes=meshes[scored],
        hidden=hidden,
        noisy_meshes=noisy,
    )


def read(clips: FaceClips, row: FaceClip, size_px: int) -> tuple[ImageU8, Float32Array]:
    """All frames (T,S,S,3) and meshes (T,478,3) of a clip; raises as `load` does."""
    images, meshes = clips.frames(row, size_px), clips.meshes(row, size_px)
    if not len(images) == len(meshes) == row.frames:
        raise FaceDataError(
            f"Clip {row.segment} has {len(images)} images and {len(meshes)} meshes where the "
            f"manifest says {row.frames}; copy the clip again."
        )
    return images, meshes


def holes(
    meshes: Float32Array, size_px: int, protocol: str = HMD, place: int = 0
) -> NDArray[np.uint8]:
    """(N,S,S) 1 = hidden, for meshes (N,478,3) px of the clip at `place` in its split."""
    kind = FACE_MASK if protocol == UNSEEN_MOUTH else protocol
    source: MaskSource = MASKS[kind] if kind in (*BOXES, FACE_MASK) else PROTOCOL_HEADSET
    return source.masks(meshes, size_px, np.random.default_rng([MASK_SEED, place]))


def with_noise(meshes: Float32Array, hidden: NDArray[np.uint8], place: int) -> Float32Array:
    """`meshes` (N,478,3) px whose points under `hidden` (N,S,S) err, each on its own, every frame.

    Normal in x and y, with `LANDMARK_NOISE` of the distance between the face's sides.
    """
    random = np.random.default_rng([NOISE_SEED, place])
    sides = meshes[:, LEFT_SIDE, :2] - meshes[:, RIGHT_SIDE, :2]
    deviation = LANDMARK_NOISE * np.linalg.norm(sides, axis=1)
    noise = random.normal(size=(*meshes.shape[:2], 2)) * deviation[:, None, None]
    spots = np.clip(np.rint(meshes[..., :2]).astype(int), 0, hidden.shape[1] - 1)
    frames = np.arange(len(meshes))[:, None]
    under = hidden[frames, spots[..., 1], spots[..., 0]] != 0
    noisy = meshes.copy()
    noisy[..., :2] += np.where(under[..., None], noise, 0)
    return noisy


def with_own_lower_face(
    meshes: Float32Array, hidden: NDArray[np.uint8], reference_mesh: Float32Array
) -> Float32Array:
    """`meshes` (N,478,3) px whose points under `hidden` (N,S,S) are the reference's, posed."""
    own = LowerFace(reference_mesh)
    return np.stack(
        [
            own.completed(mesh, is_visible(mesh, mask))
            for mesh, mask in zip(meshes, hidden, strict=True)
        ]
    )


def _far_index(yaw: Float32Array) -> int:
    """Index of the frame after the scored ones whose yaw is farthest from their mean."""
    after = 1 + SCORED_FRAMES
    return after + int(np.abs(yaw[after:] - yaw[1:after].mean()).argmax())
