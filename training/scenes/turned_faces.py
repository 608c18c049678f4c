"""Faces turned further than people turn in front of a webcam, so that views from the side are seen.

After Zhu et al. 2016 (Face Alignment Across Large Poses, section 4): the face's mesh is turned in
space and the picture follows it; what comes to light at the side is stretched from its edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.head_pose import HeadPose, head_pose
from models.face.raster import FaceRaster
from models.warp import backward_map, look_up
from training.scenes.bare_faces import BareFace

Float32Array = NDArray[np.float32]

# Beyond, the nose hides the far cheek, and the warp would show that cheek twice.
YAW_DEG = (25.0, 58.0)
LONGEST_TURN_DEG = 45.0
ROOM = 0.25  # of the picture's side
AXIS_SPANS = 0.75  # how far behind the eyes the neck's axis lies


def with_turned(
    faces: Iterable[BareFace], share: float, random: np.random.Generator
) -> Iterator[BareFace]:
    """All `faces`, and after a `share` of them the same face turned to a side."""
    for face in faces:
        yield face
        if random.random() < share:
            pose = head_pose(face.mesh)
            side = np.sign(pose.yaw_deg) if abs(pose.yaw_deg) > 5 else random.choice([-1.0, 1.0])
            by = side * random.uniform(*YAW_DEG) - pose.yaw_deg
            yield turned(face, float(np.clip(by, -LONGEST_TURN_DEG, LONGEST_TURN_DEG)))


def turned(face: BareFace, by_deg: float) -> BareFace:
    """The face turned by some degrees to the picture's right, about the neck's axis.

    The picture grows by `ROOM` at each side: a headset sticks out further sideways than to the
    front, and must not be cut off where the picture ends.
    """
    face = _with_room(face)
    pose = head_pose(face.mesh)
    about = _rotation(pose, by_deg)
    axis = pose.origin_px + AXIS_SPANS * pose.span_px * pose.frame_from_head[:, 2]
    mesh = ((face.mesh - axis) @ about.T + axis).astype(np.float32)
    raster = FaceRaster(mesh, face.image.shape[0])
    return BareFace(look_up(face.image, backward_map(mesh, face.mesh, raster)), mesh)


def _with_room(face: BareFace) -> BareFace:
    margin = round(ROOM * face.image.shape[0])
    image = cv2.copyMakeBorder(face.image, *(margin,) * 4, cv2.BORDER_REFLECT_101)
    moved = face.mesh + np.array([margin, margin, 0], np.float32)
    return BareFace(np.asarray(image, np.uint8), moved)


def _rotation(pose: HeadPose, by_deg: float) -> NDArray[np.float64]:
    """(3,3) turn in the frame about the head's own upright axis."""
    angle = np.radians(-by_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    upright = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    frame_from_head = pose.frame_from_head
    return np.asarray(frame_from_head @ upright @ frame_from_head.T)
