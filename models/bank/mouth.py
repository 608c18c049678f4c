"""A mouth that nobody sees, behind a face mask say: from one view, in which it rests.

Views of a bank show their mouths in whatever state they were, and the mean of an open and a closed
mouth is a ghost. What the hidden mouth does now is not known; a mouth at rest is plausible, one
view's is sharp, and the same view's is steady. So one view with its mouth at rest is held until
another is clearly nearer in pose, and then takes a moment to hand over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.bank.look import Look, pose_distances
from models.face.mesh import (
    LEFT_EYE,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    LIPS_OUTER_LOWER,
    LIPS_OUTER_UPPER,
    RIGHT_EYE,
)

Float32Array = NDArray[np.float32]
MaskU8 = NDArray[np.uint8]

LIPS = (*LIPS_OUTER_UPPER, *LIPS_OUTER_LOWER)
MOUTH = (*LIPS, *LIPS_INNER_UPPER, *LIPS_INNER_LOWER)
MOUTH_CORNERS = (LIPS_OUTER_UPPER[0], LIPS_OUTER_UPPER[-1])
EYE_CORNERS = (RIGHT_EYE.outer_corner, LEFT_EYE.outer_corner)
AT_REST = 0.05  # gap between the lips over the mouth's width; a breath's width, no teeth
NEARLY_AS_CLOSED = 0.02  # as the most closed mouth, where none is at rest
ALIKE_WIDTH = 0.1  # of the resting mouth's width: a smile beside a mouth at rest
HIDDEN_SHARE = 0.8  # of the lips' points: no headset reaches that far down
KEPT_SHARE = 0.5  # of its squared pose distance counts for the view that is held
FADE_STEP = 0.125  # per frame


class MouthHolder:
    """Which view the hidden mouth of one session comes from."""

    def __init__(self, meshes: Sequence[Float32Array], looks: Sequence[Look]) -> None:
        """`meshes` (478,3) px and `looks` are those of the bank's views, best frontal first."""
        self._views = resting_views(meshes)
        self._poses = np.stack([looks[view].pose for view in self._views])
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames: the next one gets the nearest view at once."""
        self._held = self._before = -1  # places in `_views`
        self._share = 1.0  # of the held view, the rest is the one before

    def step(self, look: Look) -> tuple[tuple[int, float], ...]:
        """The next frame's layers, lowest first: (view, share over what lies below)."""
        distances = pose_distances(look, self._poses)
        if self._held < 0:
            self._held = int(distances.argmin())
        if self._share >= 1:
            distances[self._held] *= KEPT_SHARE
            nearest = int(distances.argmin())
            if nearest != self._held:
                self._before, self._held, self._share = self._held, nearest, 0.0
        if self._share < 1:
            self._share = min(self._share + FADE_STEP, 1.0)
        held = (self._views[self._held], self._share)
        if self._share >= 1:
            return (held,)
        return ((self._views[self._before], 1.0), held)


def resting_views(meshes: Sequence[Float32Array]) -> list[int]:
    """Views whose mouths rest, or are the most closed ones there are, in the order of `meshes`.

    `meshes` (478,3) px are the views', best frontal first. A mouth that smiles is closed too, but
    not like that of the first resting view, whose width counts.
    """
    gaps = np.array([mouth_gap(mesh) for mesh in meshes])
    closed = np.flatnonzero(gaps <= max(AT_REST, float(gaps.min()) + NEARLY_AS_CLOSED))
    widths = np.array([_width(meshes[view]) for view in closed])
    is_alike = np.abs(widths / widths[0] - 1) <= ALIKE_WIDTH
    return [int(view) for view in closed[is_alike]]


def mouth_gap(mesh: Float32Array) -> float:
    """Mean gap between the lips over the mouth's width, of a mesh (478,3) px; 0 = closed."""
    inner = slice(2, -2)  # the corners never part
    apart = mesh[list(LIPS_INNER_LOWER[inner])] - mesh[list(LIPS_INNER_UPPER[inner])]
    gap = np.linalg.norm(apart, axis=1).mean()
    return float(gap / max(_distance(mesh, MOUTH_CORNERS), 1e-6))


def is_mouth_hidden(mesh: Float32Array, hidden: MaskU8) -> bool:
    """Whether `hidden` (S,S), 1 = hidden, covers the lips of `mesh` (478,3) px."""
    size = len(hidden)
    column, row = np.clip(np.rint(mesh[list(LIPS), :2]), 0, size - 1).astype(np.intp).T
    return bool(hidden[row, column].mean() >= HIDDEN_SHARE)


def _width(mesh: Float32Array) -> float:
    """Width of the mouth over the distance of the outer eye corners."""
    return _distance(mesh, MOUTH_CORNERS) / max(_distance(mesh, EYE_CORNERS), 1e-6)


def _distance(mesh: Float32Array, ends: tuple[int, int]) -> float:
    return float(np.linalg.norm(mesh[ends[0]] - mesh[ends[1]]))
