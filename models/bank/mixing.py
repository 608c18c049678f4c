"""How much of which view each frame is made from; changes slowly, so that nothing pops.

The two views nearest in pose share the face. An eye that they show in another state than it has,
in a blink say, comes from the view whose lids are like it. Weights follow what they should be by a
bounded step per frame, a new view enters only when there is room, and the views in use are given
up only for clearly nearer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bank.look import Look, lid_distances, pose_distances

Float32Array = NDArray[np.float32]

# Chosen on val and train clips; sharper weights look crisper, flatter ones average noise away.
SHARPNESS = 4.0  # weights go with the squared distance to this power
LARGEST_STEP = 0.2  # of a view's weight per frame
LARGEST_EYE_STEP = 0.4  # a blink closes in three frames
LID_WEIGHT = 1.25  # of lids unlike the frame's, against pose: a view with the eyes as they are
KEPT_SHARE = 0.75  # of its squared distance counts for a view in use
NEGLIGIBLE = 0.05  # a share below this is not worth a warp
# An eye is taken from another view when that brings its lids nearer by these shares.
EYE_GAIN = (0.3, 0.6)  # from nothing of it to all of it
EYE_FLOOR = 0.01  # eye spans²: lids as near as this are the same
EYE_POSE_SHARE = 0.02  # of two views with like lids the one nearer in pose


@dataclass(frozen=True)
class EyeShare:
    """One eye's other view."""

    view: int
    share: float  # 0..1


@dataclass(frozen=True)
class Mix:
    """What a frame is made from."""

    weights: tuple[tuple[int, float], ...]  # one or two (view, weight), weights sum to 1
    eyes: tuple[EyeShare, EyeShare]  # right, left; share 0 = none


class ViewMixer:
    """Follows the frames of one session."""

    def __init__(self, looks: Sequence[Look]) -> None:
        """`looks` are those of the bank's views."""
        if not looks:
            raise ValueError("a bank needs at least one view")
        self._poses = np.stack([look.pose for look in looks])
        self._lids = np.stack([look.lids for look in looks])
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames: the next one gets what suits it at once."""
        self._weights: dict[int, float] = {}
        self._eyes: tuple[EyeShare, EyeShare] | None = None

    def step(self, look: Look) -> Mix:
        """The mix for the next frame."""
        lids = lid_distances(look, self._lids)
        distances = pose_distances(look, self._poses) + np.float32(LID_WEIGHT) * lids.mean(0)
        self._weights = self._followed(distances)
        wanted = self._wanted_eyes(lids, distances)
        if self._eyes is not None:
            right, left = (_followed_eye(*eyes) for eyes in zip(self._eyes, wanted, strict=True))
            wanted = right, left
        self._eyes = wanted
        return Mix(tuple(self._weights.items()), wanted)

    def _followed(self, distances: Float32Array) -> dict[int, float]:
        """Weights (view: weight) one step nearer to what they should be."""
        in_use = self._weights
        ranked = distances.copy()
        ranked[list(in_use)] *= KEPT_SHARE
        nearest = [int(view) for view in np.argsort(ranked, kind="stable")[:2]]
        if not in_use:
            return _by_distance(nearest, distances)
        wanted = _by_distance(nearest, distances)
        if any(view not in nearest for view in in_use):
            wanted = {_next_alone(in_use, nearest): 1.0}
        stepped = {
            view: in_use.get(view, 0.0)
            + float(
                np.clip(wanted.get(view, 0.0) - in_use.get(view, 0.0), -LARGEST_STEP, LARGEST_STEP)
            )
            for view in {**in_use, **wanted}
        }
        return {view: weight for view, weight in stepped.items() if weight > 1e-6}

    def _wanted_eyes(
        self, lids: Float32Array, distances: Float32Array
    ) -> tuple[EyeShare, EyeShare]:
        shown = np.zeros(len(distances), np.float32)
        for view, weight in self._weights.items():
            shown[view] = weight
        by_pose = distances / max(float(distances.mean()), 1e-9)
        shares = []
        for index, of_eye in enumerate(lids):
            cost = of_eye + EYE_POSE_SHARE * float(of_eye.mean()) * by_pose
            if self._eyes is not None and self._eyes[index].share > 0:
                cost[self._eyes[index].view] *= KEPT_SHARE
            best, present = int(cost.argmin()), float(shown @ of_eye)
            gain = (present - float(of_eye[best])) / (present + EYE_FLOOR)
            low, high = EYE_GAIN
            shares.append(EyeShare(best, float(np.clip((gain - low) / (high - low), 0, 1))))
        return shares[0], shares[1]


def _by_distance(views: list[int], distances: Float32Array) -> dict[int, float]:
    """Weights of one or two views, nearest first, by their squared distances."""
    inverse = (distances[views].astype(np.float64) + 1e-6) ** -SHARPNESS
    weights = inverse / inverse.sum()
    if weights.min() < NEGLIGIBLE:
        return {views[int(weights.argmax())]: 1.0}
    return dict(zip(views, weights.tolist(), strict=True))


def _next_alone(in_use: dict[int, float], nearest: list[int]) -> int:
    """The view that takes everything until there is room: a new one, or the one that stays."""
    if len(in_use) == 1:
        return nearest[0]
    staying = [view for view in in_use if view in nearest]
    return staying[0] if staying else max(in_use, key=in_use.__getitem__)


def _followed_eye(present: EyeShare, wanted: EyeShare) -> EyeShare:
    """One step towards `wanted`; another view only after the present one has faded out."""
    is_busy = present.share > 0 and present.view != wanted.view
    if is_busy or wanted.share == 0:
        wanted = EyeShare(present.view, 0.0)
    start = present.share if present.view == wanted.view else 0.0
    step = float(np.clip(wanted.share - start, -LARGEST_EYE_STEP, LARGEST_EYE_STEP))
    return EyeShare(wanted.view, start + step)
