"""Where a square marker is in front of the camera, alone or together with points fixed to it.

Lengths are in sides of the marker, so its printed size need not be known. The marker's axes are
x to the right of its pattern, y up, z out of it; the camera's are x right, y down, z away. Image
points are *rays*: (x, y) where they cross the plane one length before the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SQUARE = np.array([(-0.5, 0.5, 0), (0.5, 0.5, 0), (0.5, -0.5, 0), (-0.5, -0.5, 0)], np.float64)
FOCAL_SHARE = 1.2  # of the frame's longer side: webcams have 0.9 to 1.4 of it
STEPS = 5  # of the refinement, which starts close
NEAREST = 0.2  # sides before the camera: no point is taken for nearer


class Lens(Protocol):
    """How a camera maps rays to pixels."""

    @property
    def focal_px(self) -> float:
        """Pixels per ray, near the middle."""
        ...

    def rays(self, points_px: FloatArray) -> FloatArray:
        """Points (N,2) px -> rays (N,2)."""
        ...

    def pixels(self, rays: FloatArray) -> FloatArray:
        """Inverse of `rays`."""
        ...


@dataclass(frozen=True)
class PinholeLens:
    """A lens without distortion."""

    focal_px: float
    middle: FloatArray  # (2,) px

    def rays(self, points_px: FloatArray) -> FloatArray:
        """Points (N,2) px -> rays (N,2)."""
        return (points_px - self.middle) / self.focal_px

    def pixels(self, rays: FloatArray) -> FloatArray:
        """Inverse of `rays`."""
        return rays * self.focal_px + self.middle


def nominal_lens(shape: tuple[int, ...]) -> PinholeLens:
    """The lens of an unknown camera with frames (H,W,…)."""
    height, width = shape[:2]
    middle = np.array([width - 1, height - 1], np.float64) / 2
    return PinholeLens(FOCAL_SHARE * max(height, width), middle)


@dataclass(frozen=True)
class MarkerPose:
    """Where the marker is."""

    camera_from_marker: FloatArray  # (3,3) rotation
    place: FloatArray  # (3,) the marker's middle in the camera's axes, in its sides

    def in_camera(self, points: FloatArray) -> FloatArray:
        """Points (N,3) in the marker's axes -> the camera's."""
        return points @ self.camera_from_marker.T + self.place

    def rays(self, points: FloatArray) -> FloatArray:
        """Where points (N,3) in the marker's axes are seen, (N,2) rays."""
        seen = self.in_camera(points)
        return np.asarray(seen[:, :2] / np.maximum(seen[:, 2:], NEAREST))

    def angle_to(self, other: MarkerPose) -> float:
        """How far one is turned against the other, rad."""
        both = self.camera_from_marker.T @ other.camera_from_marker
        return float(np.arccos(np.clip((np.trace(both) - 1) / 2, -1.0, 1.0)))


def square_poses(corners: FloatArray) -> list[MarkerPose]:
    """The two poses in which a square may be seen as `corners` (4,2) rays, the likelier first.

    A small square looks nearly the same tilted one way or the other.
    """
    count, turns, places, _ = cv2.solvePnPGeneric(
        SQUARE,
        np.ascontiguousarray(corners),
        np.eye(3),
        np.zeros(4),
        flags=cv2.SOLVEPNP_IPPE_SQUARE,
    )
    poses = [
        MarkerPose(
            np.asarray(cv2.Rodrigues(turns[i])[0], np.float64),
            np.asarray(places[i], np.float64).ravel(),
        )
        for i in range(count)
    ]
    return [pose for pose in poses if np.isfinite(pose.place).all() and pose.place[2] > NEAREST]


def refined_pose(
    start: MarkerPose, points: FloatArray, rays: FloatArray, spread: FloatArray, exact: int = 0
) -> tuple[MarkerPose, float]:
    """The most probable pose near `start`, and how badly it fits (lower is better).

    Args:
        start: where to begin.
        points: (N,3) in the marker's axes.
        rays: (N,2) where they are seen.
        spread: (N,) expected error of each ray; far larger ones count little (Cauchy).
        exact: so many of the first points count fully however far they are off.
    """
    pose = start
    doubt = (np.arange(len(points)) >= exact).astype(np.float64)
    cost = _cost(pose, points, rays, spread, doubt)
    damping = 1e-4
    for _ in range(STEPS):
        step = _step(pose, points, rays, spread, doubt, damping)
        turned = np.asarray(cv2.Rodrigues(step[:3])[0]) @ pose.camera_from_marker
        tried = MarkerPose(turned, pose.place + step[3:])
        tried_cost = _cost(tried, points, rays, spread, doubt)
        if tried_cost > cost:
            damping *= 30
            continue
        gained, pose, cost = cost - tried_cost, tried, tried_cost
        if gained < 1e-3:
            break
    return pose, cost


def _cost(
    pose: MarkerPose, points: FloatArray, rays: FloatArray, spread: FloatArray, doubt: FloatArray
) -> float:
    miss = ((pose.rays(points) - rays) ** 2).sum(axis=1) / spread**2
    return float(np.where(doubt > 0, np.log1p(miss), miss).sum())


def _step(
    pose: MarkerPose,
    points: FloatArray,
    rays: FloatArray,
    spread: FloatArray,
    doubt: FloatArray,
    damping: float,
) -> FloatArray:
    """One Gauss-Newton step: (turn vector, shift), (6,)."""
    turned = points @ pose.camera_from_marker.T
    seen = turned + pose.place
    depth = np.maximum(seen[:, 2], NEAREST)
    miss = rays - seen[:, :2] / depth[:, None]
    weight = 1 / (spread**2 + doubt * (miss**2).sum(axis=1))
    slope = np.zeros((len(points), 2, 3))  # of the ray by the point in the camera
    slope[:, 0, 0] = slope[:, 1, 1] = 1 / depth
    slope[:, :, 2] = -seen[:, :2] / depth[:, None] ** 2
    x, y, z = turned.T
    zero = np.zeros_like(x)
    by_turn = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=1).reshape(-1, 3, 3)
    slopes = np.concatenate([slope @ by_turn, slope], axis=2)
    weighted = slopes * weight[:, None, None]
    normal = np.tensordot(weighted, slopes, axes=([0, 1], [0, 1]))
    normal += damping * np.diag(np.diag(normal)) + 1e-12 * np.eye(6)
    return np.asarray(np.linalg.solve(normal, np.tensordot(weighted, miss, axes=([0, 1], [0, 1]))))
