"""Draws a procedural headset over a face, in the pose of its mesh."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from hmd_capture.canvas import Canvas, Patch
from hmd_capture.head_pose import CAMERA_DISTANCE_SPANS, HeadPose, head_pose
from hmd_capture.headset_shape import HALF_FACE_WIDTHS, HeadsetShape, Quads, fitted
from hmd_capture.headset_style import HeadsetStyle, front_texture, styled
from models.headset.box import headset_box

ImageU8 = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

# The way light travels from, in the frame: above, a little from the image's left.
TOWARDS_LIGHT = np.array([-0.30, -0.70, -0.65])
AMBIENT, DIFFUSE = 0.50, 0.55
# The protocols' mask, which has to be covered, is cut to whole pixels.
HIDDEN_MARGIN_PX = 1.5
FACING = 1e-3  # faces seen more edge-on than this are left out
USUAL_BRIGHTNESS = 118.0  # mean grey value of a frame in which the colours need no change


class Headset(Protocol):
    """Something that can be drawn over a face."""

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        ...


class ProceduralHeadset:
    """A headset drawn from a style; the same seed draws the same headset."""

    def __init__(self, style_name: str | None, seed: int) -> None:
        """Choose by name, or by seed alone if None. Raises ValueError for an unknown name."""
        rng = np.random.default_rng(seed)
        self._wear(styled(style_name, rng), rng)

    @classmethod
    def of_style(cls, style: HeadsetStyle, rng: np.random.Generator) -> ProceduralHeadset:
        """One of a style that need not be among the built-in ones."""
        headset = cls.__new__(cls)
        headset._wear(style, rng)
        return headset

    def _wear(self, style: HeadsetStyle, rng: np.random.Generator) -> None:
        self.style = style
        self._textures = front_texture(style, rng)
        self._shapes: dict[float, HeadsetShape] = {}  # by width: a few at most

    def draw(self, mesh: Float32Array, image: ImageU8) -> Patch | None:
        """Draw over a (478,3) px mesh of an (H,W,3) image; None if all of it is outside."""
        pose = head_pose(mesh)
        shape = self._shape(pose.half_face_width)
        body_px = pose.project(shape.body_points)
        straps_px = pose.project(shape.straps.corners)
        box_px = headset_box(mesh).grown(HIDDEN_MARGIN_PX).corners().astype(np.float64)
        canvas = Canvas.over(
            np.concatenate([body_px, straps_px.reshape(-1, 2), box_px]), image.shape
        )
        if canvas is None:
            return None
        canvas.quads(straps_px, _shaded(pose, shape.straps))
        # Light seal and silhouette first: no skin may show between the faces drawn on top.
        canvas.polygon(box_px, self.style.foam)
        canvas.polygon(_hull(body_px), self.style.foam)
        canvas.quads(pose.project(shape.body.corners), _shaded(pose, shape.body))
        self._draw_front(canvas, pose, shape)
        return canvas.reduced(light_of(image))

    def _shape(self, half_face_width: float) -> HeadsetShape:
        # A headset has one size; the mesh's width trembles from frame to frame.
        rounded = round(float(np.clip(half_face_width, *HALF_FACE_WIDTHS)) / 0.02) * 0.02
        if rounded not in self._shapes:
            self._shapes[rounded] = fitted(self.style, rounded)
        return self._shapes[rounded]

    def _draw_front(self, canvas: Canvas, pose: HeadPose, shape: HeadsetShape) -> None:
        forward = -pose.frame_from_head[:, 2]
        if forward[2] >= 0:
            return  # turned away: the front is out of sight
        light = AMBIENT + DIFFUSE * max(0.0, float(forward @ TOWARDS_LIGHT))
        plate = [min(255.0, light * value) for value in self.style.plate]
        canvas.polygon(_hull(pose.project(shape.front_points)), plate)
        canvas.picture(self._textures, pose.project(shape.front_corners), light)


def light_of(image: ImageU8) -> float:
    """Return how bright an (H,W,3) frame is compared with an ordinary one, 0.55..1.2."""
    step = max(1, min(image.shape[:2]) // 24)
    return float(np.clip(image[::step, ::step].mean() / USUAL_BRIGHTNESS, 0.55, 1.2))


def _hull(points_px: FloatArray) -> FloatArray:
    hull = cv2.convexHull(points_px.astype(np.float32))
    return np.asarray(hull.reshape(-1, 2), np.float64)


def _shaded(pose: HeadPose, quads: Quads) -> FloatArray:
    """Colours (Q,3) as lit in this pose; NaN where the surface faces away."""
    normals = pose.turned(quads.normals)
    light = AMBIENT + DIFFUSE * np.maximum(normals @ TOWARDS_LIGHT, 0)
    # Perspective: what is seen depends on the line of sight, not on the viewing axis alone.
    sight = pose.turned(quads.middles) + np.array([0.0, 0.0, CAMERA_DISTANCE_SPANS])
    shown = (normals * sight).sum(axis=1) < -FACING
    colours = np.minimum(255, light[:, None] * quads.colours)
    return np.where(shown[:, None], colours, np.nan)
