"""Landmarks as a fill needs them: without the errors and the trembling that would be seen in it.

Under a covering nobody sees the landmarks: whoever tells them errs more there, and by how much is
not told. It shows: what is left of the hidden points after the best fit of a face that the prior
knows. With that as their variance, the posterior mean of the prior takes their place. From frame to
frame each direction of change follows at once where it moves by more than it trembles, and is held
where it does not, so that a blink is as quick as it was and a still face is still.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.mesh import EYES, POINT_COUNT
from models.memory.landmark_prior import LandmarkPrior, ReferenceFrame, load_landmark_prior

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
MaskU8 = NDArray[np.uint8]
Bools = NDArray[np.bool_]

# Chosen on val clips.
NEAR_RATIO = 6 / 128  # of the crop's side: an erring point lies as far from where it should
ERROR_SPANS = 0.002  # of points that are seen, in eye spans
FIRST_FITS = 3  # until the errors' size has settled; later frames begin with the last one's
SMALLEST_STEP = 0.2  # of a change that is taken over at once, however small
TREMBLES = 16.0  # of the trembling's variance: a squared step as large is taken over by half


class SteadyLandmarks:
    """Follows the landmarks of one person."""

    def __init__(self, reference_mesh: Float32Array, prior: LandmarkPrior | None = None) -> None:
        """Expect the face of `reference_mesh` (478,3) px, of a crop of any size."""
        self._frame = ReferenceFrame.of(reference_mesh)
        self._prior = prior or load_landmark_prior()
        self.reset()

    def reset(self) -> None:
        """Forget earlier frames."""
        self._along: Float64Array | None = None
        self.error_spans = 0.0  # found in the last frame's hidden landmarks, RMS in eye spans

    def step(self, mesh: Float32Array, hidden: MaskU8) -> Float32Array:
        """The next frame's `mesh` (478,3) px of its crop, steady; `hidden` (S,S) 1 = not seen.

        Depth is returned as it is.
        """
        points = mesh[:POINT_COUNT, :2]
        motion = self._frame.motion(points)
        change = self._frame.change(points, motion)
        unsure = np.repeat(near_hole(mesh, hidden), 2)
        along, spread, left = self._fitted(change, unsure)
        steady = mesh.copy()
        lag = ((self._followed(along, spread) - along) @ self._prior.basis).reshape(-1, 2)
        _quicken_eyes(lag)
        found = along @ self._prior.basis + left + lag.ravel()
        steady[:POINT_COUNT, :2] = self._frame.points_of(found.astype(np.float32), motion)
        return steady

    def _fitted(
        self, change: Float32Array, unsure: Bools
    ) -> tuple[Float64Array, Float64Array, Float32Array]:
        """Change (K,) along the prior's directions, its variance, and what to keep beside it."""
        prior, known = self._prior, self._prior.left + ERROR_SPANS**2
        hidden_part = prior.basis[:, unsure]
        hidden_gram = hidden_part @ hidden_part.T
        seen_gram = np.eye(len(hidden_gram)) - hidden_gram
        hidden_along = hidden_part @ change[unsure]
        seen_along = prior.basis @ change - hidden_along
        for _ in range(FIRST_FITS if self._along is None else 1):
            erring = known + self.error_spans**2
            precision = seen_gram / known + hidden_gram / erring + np.diag(1 / prior.variance)
            covariance = np.linalg.inv(precision)
            along = covariance @ (seen_along / known + hidden_along / erring)
            left = change - along.astype(np.float32) @ prior.basis
            if unsure.any():
                doubt = float((covariance * hidden_gram).sum()) / hidden_part.shape[1]
                excess = float((left[unsure] ** 2).mean()) + doubt - prior.left
                self.error_spans = float(np.sqrt(max(excess, 0.0)))
        kept = left * np.where(unsure, np.float32(known / erring), np.float32(1))
        return along, np.diag(covariance), kept

    def _followed(self, along: Float64Array, spread: Float64Array) -> Float64Array:
        if self._along is None:
            self._along = along
        step2 = (along - self._along) ** 2
        share = step2 / (step2 + TREMBLES * (self._prior.trembling + spread))
        share = SMALLEST_STEP + (1 - SMALLEST_STEP) * share
        self._along = self._along + share * (along - self._along)
        return self._along


def _quicken_eyes(lag: Float64Array) -> None:
    """Let lids and irises lag (478,2) only as their corners do: a glance is smaller than noise."""
    for eye in EYES:
        corners = lag[[eye.inner_corner, eye.outer_corner]].mean(0)
        lag[[*eye.upper_lid, *eye.lower_lid, eye.iris_centre, *eye.iris_ring]] = corners


def near_hole(mesh: Float32Array, hidden: MaskU8) -> Bools:
    """Which points (478,) of `mesh` px are hidden, or may be if they err."""
    size = len(hidden)
    margin = 2 * round(NEAR_RATIO * size) + 1
    near = cv2.dilate(hidden, np.ones((margin, margin), np.uint8))
    spots = np.clip(np.rint(mesh[:POINT_COUNT, :2]), 0, size - 1).astype(np.intp)
    return np.asarray(near[spots[:, 1], spots[:, 0]] != 0)
