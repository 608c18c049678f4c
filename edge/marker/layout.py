"""Learning where the points of a face are in the axes of a marker that moves with it.

Every sighting gives one ray per point. Rays of one point from differently turned heads cross where
it is; how deep it lies is told by the mesh's own z as long as the head was hardly turned. The
sightings' poses are put right in turn by what was learned, which makes them agree with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.marker.pose import SQUARE, MarkerPose, refined_pose, square_poses

FloatArray = NDArray[np.float64]

MOST = 24  # sightings kept, of poses as different as there were
ENOUGH = 12  # to rely on
BETWEEN_NS = 100_000_000  # of sightings in much the same pose
TURNED_RAD = 0.06  # another pose: taken at once
KEPT_NS = 60_000_000_000  # a headset slips in time
DEPTH_TRUST = 0.05  # of the mesh's z against the image, in how far a head must turn to tell more
ROUNDS = 2  # of weighing down what does not fit
EVERY = 3  # of the visible points is enough for a pose
# So many of a mesh's errors are independent: it errs as a whole.
INDEPENDENT = 8.0
LEAST_SPREAD = 0.02  # sides of the marker


@dataclass
class Sighting:
    """One frame in which marker and mesh were seen."""

    pose: MarkerPose
    corners: FloatArray  # (4,2) rays
    corner_spread: float  # expected error of a corner, rays
    rays: FloatArray  # (N,2) of the mesh
    depth: FloatArray  # (N,) of the mesh behind the marker, sides: a guess
    visible: NDArray[np.bool_]  # (N,) points that the network saw: hidden ones tell no pose
    time_ns: int


class FaceLayout:
    """Where the face's points are on the marker's own axes, in its sides."""

    def __init__(self) -> None:
        """Know nothing."""
        self.forget()

    def forget(self) -> None:
        """Start afresh."""
        self._sightings: list[Sighting] = []
        self._turn = 0
        self.points: FloatArray | None = None  # (N,3)
        self.spread: FloatArray = np.zeros(0)  # (N,) how far sightings were from it, sides

    @property
    def is_learned(self) -> bool:
        """Whether enough was seen to rely on."""
        return len(self._sightings) >= ENOUGH

    def located(self, seen: Sighting, starts: list[MarkerPose]) -> tuple[MarkerPose, float]:
        """The pose that suits corners and visible points best, sought from `starts`; its cost."""
        if self.points is None:
            raise ValueError("nothing was learned yet: add a sighting first")
        some = np.flatnonzero(seen.visible)[::EVERY]
        points = np.concatenate([SQUARE, self.points[some]])
        rays = np.concatenate([seen.corners, seen.rays[some]])
        together = np.sqrt(len(points) / INDEPENDENT) / seen.pose.place[2]
        spread = np.concatenate([np.full(4, seen.corner_spread), self.spread[some] * together])
        tried = [refined_pose(start, points, rays, spread, len(SQUARE)) for start in starts]
        return min(tried, key=lambda pair: pair[1])

    def add(self, seen: Sighting) -> None:
        """Learn from a sighting, unless it tells nothing new."""
        if self._is_news(seen):
            self._sightings.append(seen)
            self._drop(seen.time_ns)
            self._solve()
        elif self._sightings:
            self._review()

    def _is_news(self, seen: Sighting) -> bool:
        if not self._sightings:
            return True
        if not 0 <= seen.time_ns - self._sightings[-1].time_ns < BETWEEN_NS:
            return True
        return min(seen.pose.angle_to(old.pose) for old in self._sightings) > TURNED_RAD

    def _drop(self, time_ns: int) -> None:
        """Let go of the old, and of the older of the two most similar."""
        self._sightings = [s for s in self._sightings if 0 <= time_ns - s.time_ns <= KEPT_NS]
        if len(self._sightings) <= MOST:
            return
        turns = np.stack([s.pose.camera_from_marker.ravel() for s in self._sightings])
        alike = turns @ turns.T  # 3 for the same rotation
        np.fill_diagonal(alike, -3.0)
        first, second = np.unravel_index(int(alike.argmax()), alike.shape)
        del self._sightings[min(int(first), int(second))]

    def _review(self) -> None:
        """Put one sighting's pose right by what was learned meanwhile, of all in turn."""
        self._turn = (self._turn + 1) % len(self._sightings)
        seen = self._sightings[self._turn]
        seen.pose, _ = self.located(seen, [seen.pose, *square_poses(seen.corners)])

    def _solve(self) -> None:
        """Least squares over all sightings, per point, with what does not fit weighed down."""
        turns = np.stack([s.pose.camera_from_marker for s in self._sightings])
        places = np.stack([s.pose.place for s in self._sightings])[:, None]
        rays = np.stack([s.rays for s in self._sightings])  # (T,N,2)
        depth = np.stack([s.depth for s in self._sightings])  # (T,N)
        # A point p of the marker is seen at the ray (x, y): with the rows r of the rotation
        # (r1 - x r3) p = x tz - tx, likewise for y; and its depth behind the marker is r3 p.
        wanted = rays * places[..., 2:] - places[..., :2]
        products = np.einsum("tai,tbj->tabij", turns, turns)
        by_weight = products[:, 0, 0] + products[:, 1, 1]
        by_ray = [products[:, i, 2] + products[:, 2, i] for i in (0, 1)]
        parts = np.concatenate([by_weight, *by_ray, products[:, 2, 2]]).reshape(-1, 9)
        rows = np.concatenate([turns[:, 0], turns[:, 1], turns[:, 2]])
        trust = DEPTH_TRUST**2
        inwards = trust * depth - (rays * wanted).sum(axis=2)
        squares = (rays**2).sum(axis=2) + trust
        weight = np.ones(depth.shape)
        for _ in range(ROUNDS + 1):
            shares = np.stack([np.ones_like(squares), -rays[..., 0], -rays[..., 1], squares])
            normal = ((weight * shares).reshape(-1, depth.shape[1]).T @ parts).reshape(-1, 3, 3)
            values = np.stack([wanted[..., 0], wanted[..., 1], inwards])
            right = (weight * values).reshape(-1, depth.shape[1]).T @ rows
            points = np.linalg.solve(normal, right[..., None])[..., 0]
            seen = points @ turns.transpose(0, 2, 1)  # (T,N,3)
            miss = seen[..., :2] - rays * seen[..., 2:] - wanted
            square = (miss**2).sum(axis=2)
            usual = np.maximum(np.median(square, axis=0), LEAST_SPREAD**2)
            weight = 1 / (1 + square / (4 * usual))
        self.points = points
        self.spread = np.sqrt(usual + LEAST_SPREAD**2)
