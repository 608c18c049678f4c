"""Where a head is and how it is turned, read from its face mesh.

Lengths on the head are in *spans*: the distance between the outer eye corners, about 9 cm. The
head's axes are those of an image of a frontal face: x to the image's right (the wearer's left), y
down, z into the head, all zero midway between the outer eye corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.face import mesh as face_mesh

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

# A webcam's usual distance. Fixed, because one mesh alone does not tell the focal length.
CAMERA_DISTANCE_SPANS = 7.0
# Below this the mesh has no usable direction: it is a dot.
MIN_SPAN_PX = 1e-3


@dataclass(frozen=True)
class HeadPose:
    """A rigid head in one frame."""

    frame_from_head: FloatArray  # (3,3) rotation; its columns are the head's axes in the frame
    origin_px: FloatArray  # (3,) midway between the outer eye corners
    span_px: float  # distance of the outer eye corners in space
    half_face_width: float  # spans, from the middle to one side of the face

    @property
    def yaw_deg(self) -> float:
        """How far the head is turned to the image's right."""
        forward = -self.frame_from_head[:, 2]
        return float(np.degrees(np.arctan2(forward[0], -forward[2])))

    @property
    def pitch_deg(self) -> float:
        """How far the head is nodded down."""
        forward = -self.frame_from_head[:, 2]
        return float(np.degrees(np.arcsin(np.clip(forward[1], -1.0, 1.0))))

    @property
    def roll_deg(self) -> float:
        """How far the eye line is turned clockwise in the image."""
        across = self.frame_from_head[:, 0]
        return float(np.degrees(np.arctan2(across[1], across[0])))

    def turned(self, points: FloatArray) -> FloatArray:
        """Turn (…,3) points on the head, in spans, into the frame's directions, still in spans."""
        return points @ self.frame_from_head.T

    def project(self, points: FloatArray) -> FloatArray:
        """Return where (…,3) points on the head, in spans, appear: (…,2) px of the frame."""
        turned = self.turned(points)
        # Points at the camera or behind it would flip over; nothing on a head gets there.
        depth = np.maximum(CAMERA_DISTANCE_SPANS + turned[..., 2:], 1.0)
        nearer = CAMERA_DISTANCE_SPANS / depth
        return np.asarray(self.origin_px[:2] + turned[..., :2] * self.span_px * nearer)


def head_pose(mesh: Float32Array) -> HeadPose:
    """Read the pose from a (478,3) px mesh with z on the same scale as x.

    Raises ValueError if the mesh has another shape, holds NaN, or is shrunk to a point.
    """
    if mesh.shape != (face_mesh.POINT_COUNT, 3):
        raise ValueError(f"expected a ({face_mesh.POINT_COUNT},3) mesh, got {mesh.shape}")
    if not np.isfinite(mesh).all():
        raise ValueError("the mesh holds NaN or infinity: no face was found; show the bare frame")
    points = mesh.astype(np.float64)
    right, left = (points[eye.outer_corner] for eye in face_mesh.EYES)
    span_px = float(np.linalg.norm(left - right))
    width = points[face_mesh.LEFT_SIDE] - points[face_mesh.RIGHT_SIDE]
    if span_px < MIN_SPAN_PX:
        raise ValueError("the mesh is shrunk to a point: no face was found; show the bare frame")
    across = _unit((left - right) + width)
    down = points[face_mesh.CHIN] - points[face_mesh.FOREHEAD_TOP]
    down = _unit(down - across * (down @ across))
    return HeadPose(
        frame_from_head=np.stack([across, down, np.cross(across, down)], axis=1),
        origin_px=(left + right) / 2,
        span_px=span_px,
        half_face_width=float(np.linalg.norm(width)) / span_px / 2,
    )


def _unit(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
